"""The lines that a cart prints for a simulated study, from its findings and measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ecg_assets.sources.synthetic import statements as say
from ecg_assets.sources.synthetic.beats import Beats
from ecg_assets.sources.synthetic.measurements import Measurements
from ecg_assets.sources.synthetic.study import Conduction, Ectopy, Infarct, Rhythm, Study

# The first lines of a report: the rhythm, its rate and its premature beats.


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


_ACUTE = (Infarct.LATERAL_ACUTE, Infarct.INFERIOR_ACUTE)


def report_lines(
    study: Study, beats: Beats, measurements: Measurements, rng: np.random.Generator
) -> list[str]:
    """Write a study's report.

    Rates in words follow the measured rate: bradycardia below 60 per minute, tachycardia above 100.

    Parameters
    ----------
    study, beats, measurements
        What was simulated and measured.
    rng
        The study's own generator; it picks among statements of the same meaning.

    Returns
    -------
    list of str
        At most 18 lines: rhythm, conduction, infarct, the rest, a summary; a warning about the
        recording's quality comes first or last.
    """
    findings = [*_conduction_lines(study, rng), *_infarct_lines(study, rng)]
    asides = _asides(study, measurements, rng)
    lines = [
        *rhythm_lines(study, beats, measurements.rate_bpm, rng),
        *findings,
        *asides,
        pick(_summary(study, findings, asides, measurements.rate_bpm), rng),
    ]
    quality = _quality_lines(study, rng)
    lines = [*quality, *lines] if rng.random() < 0.5 else [*lines, *quality]
    return [_in_style(study.cart_id, line) for line in lines]


def _in_style(cart_id: int, line: str) -> str:
    """Capitals on the carts of one maker, full stops on those of another."""
    maker = cart_id % 20
    if maker < 3:
        return line.upper()
    if maker < 5 and not line.endswith((".", "*", "-")):
        return f"{line}."
    return line


def _conduction_lines(study: Study, rng: np.random.Generator) -> list[str]:
    if study.rhythm is Rhythm.ABERRANT_TACHYCARDIA or study.conduction not in say.CONDUCTION:
        return []
    lines = [pick(say.CONDUCTION[study.conduction], rng)]
    if study.conduction is Conduction.BIFASCICULAR_BLOCK and rng.random() < 0.1:
        lines.append(say.BIFASCICULAR_COMMENT)
    return lines


def _infarct_lines(study: Study, rng: np.random.Generator) -> list[str]:
    if study.infarct is Infarct.NONE:
        return []
    lines = [pick(say.INFARCT[study.infarct], rng)]
    if study.infarct in _ACUTE and rng.random() < 0.4:
        lines.append(say.ACUTE_INFARCT_COMMENT)
    return lines


def _quality_lines(study: Study, rng: np.random.Generator) -> list[str]:
    if not study.is_noisy:
        return []
    lines = [pick(say.POOR_QUALITY, rng)]
    if rng.random() < 0.3:
        lines.append(pick(say.POOR_QUALITY_COMMENTS, rng))
    return lines


def _asides(study: Study, measurements: Measurements, rng: np.random.Generator) -> list[str]:
    """Statements that name no label: axis, voltage, T waves, and denials of what is not there."""
    if study.conduction in (Conduction.VENTRICULAR, Conduction.PACED):
        return []
    lines = []
    if measurements.qrs_axis < -30 and rng.random() < 0.7:
        lines.append(pick(say.LEFT_AXIS, rng))
    if measurements.qrs_axis > 100 and rng.random() < 0.7:
        lines.append(pick(say.RIGHT_AXIS, rng))
    if study.has_flat_t:
        lines.append(pick(say.FLAT_T, rng))
    if study.patient.heart.amplitude < 0.7:
        lines.append(pick(say.LOW_VOLTAGE, rng))
    if is_unremarkable(study):
        if rng.random() < 0.15:
            lines.append(pick(say.UNREMARKABLE, rng))
        if rng.random() < 0.20:
            lines.append(pick(say.DENIALS, rng))
    return lines


def is_unremarkable(study: Study) -> bool:
    """Say whether a study has a sinus rhythm and no finding."""
    return (
        study.rhythm is Rhythm.SINUS
        and study.conduction is Conduction.NORMAL
        and study.infarct is Infarct.NONE
        and study.ectopy is Ectopy.NONE
    )


def _summary(
    study: Study, findings: Sequence[str], asides: Sequence[str], rate_bpm: float
) -> tuple[str, ...]:
    if findings or not is_unremarkable(study):
        return say.ABNORMAL_SUMMARY
    if asides or study.is_irregular or not 60 <= rate_bpm <= 100:
        return say.BORDERLINE_SUMMARY
    return say.NORMAL_SUMMARY
