"""The first lines of a report: the rhythm, its rate and its premature beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_assets.sources.simulation import statements as say
from ecg_assets.sources.simulation.beats import Beats
from ecg_assets.sources.simulation.study import Ectopy, Rhythm, Study

_SINUS_NODE = (Rhythm.SINUS, Rhythm.FIRST_DEGREE_BLOCK, Rhythm.WENCKEBACH)
_SUFFIX_SHARE = 0.6
"""A finding beside the rhythm is as often told in the rhythm's line; else in its own line."""


def pick(variants: Sequence[str], rng: np.random.Generator) -> str:
    """Pick one of statements that mean the same."""
    return variants[int(rng.integers(len(variants)))]


def rhythm_lines(
    study: Study, beats: Beats, rate_bpm: float, rng: np.random.Generator
) -> list[str]:
    """Write the rhythm of a study, with what belongs to it.

    Parameters
    ----------
    study, beats
        What was simulated.
    rate_bpm
        The measured ventricular rate.
    rng
        The study's own generator.
    """
    if study.rhythm in _SINUS_NODE:
        first, more = _sinus(study, rate_bpm, rng)
    elif study.rhythm is Rhythm.FIBRILLATION:
        first, more = pick(_fibrillation(rate_bpm), rng), []
    elif study.rhythm is Rhythm.FLUTTER:
        first, more = pick(_flutter(study, beats, rate_bpm), rng), []
    else:
        first, more = pick(say.OTHER_RHYTHMS[study.rhythm], rng), []
        if beats.spike_s.size and rng.random() < 0.25:
            more = [say.PACED_COMMENT]
    if study.ectopy is Ectopy.ATRIAL:
        first += pick(say.ATRIAL_ECTOPY_SUFFIXES, rng)
    elif study.ectopy is Ectopy.VENTRICULAR and rng.random() < _SUFFIX_SHARE:
        first += pick(say.VENTRICULAR_ECTOPY_SUFFIXES, rng)
    elif study.ectopy is Ectopy.VENTRICULAR:
        more = [*more, pick(say.VENTRICULAR_ECTOPY_LINES, rng)]
    return [first, *more]


def _sinus(study: Study, rate_bpm: float, rng: np.random.Generator) -> tuple[str, list[str]]:
    if rate_bpm < 60:
        first = pick(say.MARKED_SINUS_BRADYCARDIA if rate_bpm < 45 else say.SINUS_BRADYCARDIA, rng)
    else:
        first = pick(say.SINUS_TACHYCARDIA if rate_bpm > 100 else say.SINUS_RHYTHM, rng)
    if study.is_irregular:
        first += say.SINUS_ARRHYTHMIA_SUFFIX
    if study.rhythm is Rhythm.WENCKEBACH:
        return first + say.WENCKEBACH_SUFFIX, []
    if study.rhythm is not Rhythm.FIRST_DEGREE_BLOCK:
        return first, []
    if rng.random() < _SUFFIX_SHARE:
        return first + pick(say.FIRST_DEGREE_SUFFIXES, rng), []
    return first, [pick(say.FIRST_DEGREE_LINES, rng)]


def _fibrillation(rate_bpm: float) -> tuple[str, ...]:
    if rate_bpm > 100:
        return say.RAPID_FIBRILLATION
    return say.SLOW_FIBRILLATION if rate_bpm < 60 else say.FIBRILLATION


def _flutter(study: Study, beats: Beats, rate_bpm: float) -> tuple[str, ...]:
    if study.is_irregular:
        return say.VARIED_FLUTTER
    waves_per_beat = round(60 * beats.flutter_hz / rate_bpm)
    return say.FLUTTER_2_TO_1 if waves_per_beat == 2 else say.FLUTTER
