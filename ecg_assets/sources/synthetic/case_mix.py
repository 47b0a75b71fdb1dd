"""Which findings the simulated cohort has, and how often: a table of data.

Rare findings are far more frequent than in MIMIC-IV-ECG, so that each of ECG-FM's 17 labels
has enough positives in a tenth of 800 studies.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecg_assets.sources.synthetic.study import Conduction, Infarct, Rhythm


@dataclass(frozen=True)
class Episode:
    """A rhythm with its range of rates and its share of a condition's studies."""

    rhythm: Rhythm
    share: float
    rate_bpm: tuple[float, float]


@dataclass(frozen=True)
class Condition:
    """What a group of patients has in each study, and the rhythms that it is seen in.

    Attributes
    ----------
    share
        Share of the cohort's studies.
    max_studies
        Patients with more studies than this do not belong here: a rare finding spread over
        more patients reaches every part of a split by patient.
    infarct_share
        Share of the patients who also have an infarct.
    """

    share: float
    max_studies: int
    conduction: Conduction
    infarct_share: float
    episodes: tuple[Episode, ...]


def _sinus(share: float) -> Episode:
    return Episode(Rhythm.SINUS, share, (62.0, 96.0))


def _bradycardia(share: float) -> Episode:
    return Episode(Rhythm.SINUS, share, (37.0, 56.0))


def _tachycardia(share: float) -> Episode:
    return Episode(Rhythm.SINUS, share, (106.0, 145.0))


def _first_degree(share: float) -> Episode:
    return Episode(Rhythm.FIRST_DEGREE_BLOCK, share, (52.0, 84.0))


def _fibrillation(share: float) -> Episode:
    return Episode(Rhythm.FIBRILLATION, share, (66.0, 95.0))


def _rapid_fibrillation(share: float) -> Episode:
    return Episode(Rhythm.FIBRILLATION, share, (110.0, 155.0))


def _flutter(share: float) -> Episode:
    return Episode(Rhythm.FLUTTER, share, (265.0, 320.0))


def _ventricular_tachycardia(share: float) -> Episode:
    return Episode(Rhythm.VENTRICULAR_TACHYCARDIA, share, (140.0, 200.0))


CASE_MIX = (
    Condition(
        0.39,
        6,
        Conduction.NORMAL,
        0.0,
        (
            _sinus(0.28),
            _bradycardia(0.13),
            _tachycardia(0.13),
            _fibrillation(0.02),
            _rapid_fibrillation(0.03),
            _flutter(0.13),
            _ventricular_tachycardia(0.13),
            Episode(Rhythm.ABERRANT_TACHYCARDIA, 0.15, (150.0, 200.0)),
        ),
    ),
    Condition(
        0.08,
        3,
        Conduction.LEFT_BUNDLE_BLOCK,
        0.0,
        (_sinus(0.64), _bradycardia(0.14), _first_degree(0.12), _fibrillation(0.10)),
    ),
    Condition(
        0.06,
        3,
        Conduction.RIGHT_BUNDLE_BLOCK,
        0.2,
        (_sinus(0.66), _bradycardia(0.14), _first_degree(0.10), _fibrillation(0.10)),
    ),
    Condition(
        0.08,
        3,
        Conduction.BIFASCICULAR_BLOCK,
        0.0,
        (_sinus(0.56), _bradycardia(0.14), _first_degree(0.20), _fibrillation(0.10)),
    ),
    Condition(
        0.08,
        3,
        Conduction.PREEXCITED,
        0.0,
        (_sinus(0.80), _bradycardia(0.10), _tachycardia(0.10)),
    ),
    Condition(
        0.08,
        3,
        Conduction.NORMAL,
        0.0,
        (
            Episode(Rhythm.VENTRICULAR_PACED, 0.45, (60.0, 80.0)),
            Episode(Rhythm.DUAL_PACED, 0.25, (60.0, 80.0)),
            Episode(Rhythm.ATRIAL_PACED, 0.15, (60.0, 80.0)),
            Episode(Rhythm.FIBRILLATION_PACED, 0.15, (60.0, 76.0)),
        ),
    ),
    Condition(
        0.07,
        6,
        Conduction.NORMAL,
        0.0,
        (_fibrillation(0.45), _rapid_fibrillation(0.40), _flutter(0.15)),
    ),
    Condition(
        0.06,
        6,
        Conduction.NORMAL,
        0.1,
        (_first_degree(0.87), Episode(Rhythm.WENCKEBACH, 0.13, (84.0, 96.0))),
    ),
    Condition(
        0.10,
        3,
        Conduction.NORMAL,
        1.0,
        (
            _sinus(0.64),
            _bradycardia(0.12),
            _tachycardia(0.08),
            _fibrillation(0.06),
            _ventricular_tachycardia(0.10),
        ),
    ),
)
"""The groups of patients. Shares of the groups, and of each group's episodes, sum to 1."""

INFARCT_SHARES = (
    (Infarct.LATERAL_OLD, 0.38),
    (Infarct.LATERAL_ACUTE, 0.20),
    (Infarct.ANTEROLATERAL, 0.20),
    (Infarct.INFERIOR_ACUTE, 0.14),
    (Infarct.INFERIOR_OLD, 0.08),
)
"""Infarcts of the infarct patients: mostly such as change Lead I."""

VENTRICULAR_ECTOPY_SHARE = 0.10
ATRIAL_ECTOPY_SHARE = 0.03
NOISY_SHARE = 0.09
FLAT_T_SHARE = 0.06
SINUS_ARRHYTHMIA_SHARE = 0.04
VARIED_FLUTTER_SHARE = 0.015
"""Shares of all studies; each falls on studies that can have it."""
