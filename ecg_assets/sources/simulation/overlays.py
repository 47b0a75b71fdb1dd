"""What comes and goes from study to study: premature beats, noise, flat T waves, irregularity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from ecg_assets.sources.simulation.case_mix import (
    ATRIAL_ECTOPY_SHARE,
    FLAT_T_SHARE,
    NOISY_SHARE,
    SINUS_ARRHYTHMIA_SHARE,
    VARIED_FLUTTER_SHARE,
    VENTRICULAR_ECTOPY_SHARE,
)
from ecg_assets.sources.simulation.study import Conduction, Ectopy, Infarct, Rhythm, Study

_CAN_BE_ECTOPIC = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.FIBRILLATION)
_CAN_HAVE_FLAT_T = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.WENCKEBACH)


def add_overlays(studies: Sequence[Study], rng: np.random.Generator) -> list[Study]:
    """Return the studies, some of them with passing findings.

    Each share of all studies falls on studies that can have the finding and, among premature
    beats and irregularity, have no other of them yet.
    """

    def overlay(share: float, can_have: Callable[[Study], bool], **changes: object) -> None:
        candidates = [i for i, study in enumerate(result) if can_have(study)]
        count = min(round(share * len(result)), len(candidates))
        for i in rng.choice(candidates, size=count, replace=False):
            result[i] = replace(result[i], **changes)

    result = list(studies)
    overlay(VENTRICULAR_ECTOPY_SHARE, _can_be_ectopic, ectopy=Ectopy.VENTRICULAR)
    overlay(ATRIAL_ECTOPY_SHARE, _is_regular_sinus, ectopy=Ectopy.ATRIAL)
    overlay(SINUS_ARRHYTHMIA_SHARE, _is_regular_sinus, is_irregular=True)
    overlay(VARIED_FLUTTER_SHARE, lambda s: s.rhythm is Rhythm.FLUTTER, is_irregular=True)
    overlay(FLAT_T_SHARE, _can_have_flat_t, has_flat_t=True)
    overlay(NOISY_SHARE, lambda _: True, is_noisy=True)
    return result


def _can_be_ectopic(study: Study) -> bool:
    return study.rhythm in _CAN_BE_ECTOPIC and study.rate_bpm < 100


def _is_regular_sinus(study: Study) -> bool:
    return study.rhythm is Rhythm.SINUS and study.rate_bpm < 100 and study.ectopy is Ectopy.NONE


def _can_have_flat_t(study: Study) -> bool:
    return (
        study.rhythm in _CAN_HAVE_FLAT_T
        and study.conduction is Conduction.NORMAL
        and study.infarct is Infarct.NONE
    )
