"""Beats that come too early, from the ventricles or from the atria."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecg_assets.sources.simulation.beats import DURATION_S, Beats
from ecg_assets.sources.simulation.study import Ectopy


def add_premature_beats(beats: Beats, ectopy: Ectopy, rng: np.random.Generator) -> Beats:
    """Return the beats with some of them made premature, as `ectopy` says."""
    if ectopy is Ectopy.VENTRICULAR:
        return _with_ventricular(beats, rng)
    if ectopy is Ectopy.ATRIAL:
        return _with_atrial(beats, rng)
    return beats


def _with_ventricular(beats: Beats, rng: np.random.Generator) -> Beats:
    """Let some beats come early from the ventricles; the P wave that they hide is blocked.

    Each half of the recording has one, so that its 5 s segments show what its report says.
    """
    v, is_ectopic = beats.ventricular_s.copy(), beats.is_ectopic.copy()
    n = int(rng.integers(2, 5))
    wanted = (np.arange(n) + rng.uniform(0.25, 0.75, n)) * DURATION_S / n
    for i in np.unique(np.searchsorted(v, wanted)):
        if is_ectopic[i - 1]:
            continue
        distance = v[i] - v[i - 1]
        v[i] = v[i - 1] + min(rng.uniform(0.56, 0.68) * distance, rng.uniform(0.5, 0.62))
        is_ectopic[i] = True
    return replace(beats, ventricular_s=v, is_ectopic=is_ectopic)


def _with_atrial(beats: Beats, rng: np.random.Generator) -> Beats:
    """Let two or three sinus beats, P wave and all, come early and set the clock anew."""
    v, atrial = beats.ventricular_s.copy(), beats.atrial_s.copy()
    for wanted in rng.uniform(1, DURATION_S - 1, int(rng.integers(2, 4))):
        i = int(np.searchsorted(v, wanted))
        early = 0.32 * (v[i] - v[i - 1])
        v[i:] -= early
        atrial[i:] -= early
    return replace(beats, ventricular_s=v, atrial_s=atrial)
