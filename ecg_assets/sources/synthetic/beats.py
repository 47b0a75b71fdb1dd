"""When the chambers of the heart fire: the times of one recording's beats."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources.synthetic.study import Conduction, Rhythm, Study

DURATION_S = 10.0
_MARGIN_S = 1.6
"""Beats this far outside the recording are made too: their waves reach into it."""

_SPIKE_LEAD_S = 0.008
"""A pacemaker's spike stands this long before the wave that it sets off."""

Times = NDArray[np.float64]


@dataclass(frozen=True)
class Beats:
    """Times in seconds from the recording's start, some of them outside of it.

    Attributes
    ----------
    ventricular_s
        Onsets of the QRS complexes, ascending.
    is_ectopic
        Which of them start in the ventricles.
    atrial_s
        Onsets of the P waves.
    spike_s
        Pacemaker spikes.
    pr_s
        PR interval of conducted beats, NaN where there is none.
    flutter_hz
        Rate of the flutter waves, NaN without flutter.
    """

    ventricular_s: Times
    is_ectopic: NDArray[np.bool_]
    atrial_s: Times = field(default_factory=lambda: np.empty(0))
    spike_s: Times = field(default_factory=lambda: np.empty(0))
    pr_s: float = float("nan")
    flutter_hz: float = float("nan")

    @property
    def inside_s(self) -> Times:
        """Onsets of the QRS complexes inside the recording."""
        v = self.ventricular_s
        return v[(v >= 0) & (v < DURATION_S)]

    @property
    def mean_rr_s(self) -> float:
        """Mean time between the QRS complexes inside the recording."""
        inside = self.inside_s
        return float((inside[-1] - inside[0]) / (inside.size - 1))


def simulate_beats(study: Study, rng: np.random.Generator) -> Beats:
    """Draw the beat times of a study, without premature beats.

    Parameters
    ----------
    study
        What to simulate.
    rng
        The study's own generator.
    """
    return _MAKERS[study.rhythm](study, rng)


def _plain(times: Times, **more: object) -> Beats:
    return Beats(times, np.zeros(times.size, dtype=bool), **more)  # type: ignore[arg-type]


def _steady(
    rr_s: float, rng: np.random.Generator, *, jitter: float, breathing: float = 0.0
) -> Times:
    """Beat times of a mean distance, varied by chance and by breathing (fractions of it)."""
    n = int((DURATION_S + 2 * _MARGIN_S) / rr_s) + 3
    phase = rng.uniform(0, 2 * np.pi)
    at = np.arange(n) * rr_s
    swing = breathing * np.sin(2 * np.pi * rng.uniform(0.18, 0.3) * at + phase)
    distances = rr_s * (1 + swing + jitter * rng.standard_normal(n))
    return np.asarray(np.cumsum(distances) - _MARGIN_S - rng.uniform(0, rr_s))


def _sinus(study: Study, rng: np.random.Generator) -> Beats:
    rr_s = 60 / study.rate_bpm
    breathing = rng.uniform(0.10, 0.16) if study.is_irregular else rng.uniform(0.005, 0.03)
    atrial = _steady(rr_s, rng, jitter=0.01, breathing=breathing)
    pr_s = _pr_s(study, rr_s) * rng.uniform(0.96, 1.04)
    return _plain(atrial + pr_s, atrial_s=atrial, pr_s=pr_s)


def _pr_s(study: Study, rr_s: float) -> float:
    heart = study.patient.heart
    if study.conduction is Conduction.PREEXCITED:
        return 0.6 * heart.pr_s
    if study.rhythm is Rhythm.FIRST_DEGREE_BLOCK:
        return heart.long_pr_s
    return heart.pr_s * float(np.clip(0.75 + 0.3 * rr_s, 0.75, 1.05))


def _wenckebach(study: Study, rng: np.random.Generator) -> Beats:
    """PR grows beat by beat until one P wave is not conducted."""
    atrial = _steady(60 / study.rate_bpm, rng, jitter=0.006)
    cycle = int(rng.integers(4, 6))
    place = (np.arange(atrial.size) + rng.integers(cycle)) % cycle
    delays = 0.19 + np.array([0.0, 0.09, 0.14, 0.17])[np.minimum(place, 3)]
    is_conducted = place != cycle - 1
    return _plain((atrial + delays)[is_conducted], atrial_s=atrial, pr_s=0.19)


def _fibrillation(study: Study, rng: np.random.Generator) -> Beats:
    rr_s = 60 / study.rate_bpm
    n = int((DURATION_S + 2 * _MARGIN_S) / rr_s * 1.5) + 6
    distances = np.clip(rr_s * rng.lognormal(-0.03, 0.25, n), 0.30, 1.9)
    return _plain(np.cumsum(distances) - _MARGIN_S - rng.uniform(0, rr_s))


def _flutter(study: Study, rng: np.random.Generator) -> Beats:
    """Every second, third or fourth flutter wave is conducted, or they change."""
    cycle_s = 60 / study.rate_bpm
    n = int((DURATION_S + 2 * _MARGIN_S) / cycle_s) + 4
    if study.is_irregular:
        ratios = rng.choice((2, 3, 4), p=(0.45, 0.2, 0.35), size=n)
    else:
        ratios = np.full(n, rng.choice((2, 3, 4), p=(0.5, 0.15, 0.35)))
    waves = np.cumsum(ratios)
    times = waves[waves < n] * cycle_s - _MARGIN_S - rng.uniform(0, cycle_s)
    times = times + 0.004 * rng.standard_normal(times.size)
    return _plain(times, flutter_hz=1 / cycle_s)


def _ventricular_tachycardia(study: Study, rng: np.random.Generator) -> Beats:
    """Wide, regular and fast; the sinus node goes on by itself."""
    times = _steady(60 / study.rate_bpm, rng, jitter=0.008)
    sinus = _steady(60 / rng.uniform(60, 90), rng, jitter=0.01)
    return Beats(times, np.ones(times.size, dtype=bool), atrial_s=sinus)


def _aberrant_tachycardia(study: Study, rng: np.random.Generator) -> Beats:
    return _plain(_steady(60 / study.rate_bpm, rng, jitter=0.004))


def _paced(study: Study, rng: np.random.Generator) -> Beats:
    rr_s = 60 / study.rate_bpm
    rhythm = study.rhythm
    # A sensing pacemaker follows the sinus node, every other one is as regular as a clock.
    follows = rhythm is Rhythm.VENTRICULAR_PACED
    first = _steady(rr_s, rng, jitter=0.012 if follows else 0.0)
    if rhythm is Rhythm.FIBRILLATION_PACED:
        return _plain(first, spike_s=first - _SPIKE_LEAD_S)
    pr_s = float(rng.uniform(0.16, 0.19))
    ventricular = first + pr_s
    below, above = ventricular - _SPIKE_LEAD_S, first - _SPIKE_LEAD_S
    spikes = {
        Rhythm.VENTRICULAR_PACED: below,
        Rhythm.ATRIAL_PACED: above,
        Rhythm.DUAL_PACED: np.concatenate([above, below]),
    }[rhythm]
    return _plain(ventricular, atrial_s=first, spike_s=spikes, pr_s=pr_s)


_MAKERS = {
    Rhythm.SINUS: _sinus,
    Rhythm.FIRST_DEGREE_BLOCK: _sinus,
    Rhythm.WENCKEBACH: _wenckebach,
    Rhythm.FIBRILLATION: _fibrillation,
    Rhythm.FLUTTER: _flutter,
    Rhythm.VENTRICULAR_TACHYCARDIA: _ventricular_tachycardia,
    Rhythm.ABERRANT_TACHYCARDIA: _aberrant_tachycardia,
    Rhythm.ATRIAL_PACED: _paced,
    Rhythm.VENTRICULAR_PACED: _paced,
    Rhythm.DUAL_PACED: _paced,
    Rhythm.FIBRILLATION_PACED: _paced,
}
