"""Intervals of macro means as papers drew them, and as they should be: one function, a rule each.

Papers differ in what they draw (recordings or patients), how often, which percentiles they print,
and in what a label counts that has one class only in a resample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.known import is_known, is_positive, keep_known
from ecg_assets.metrics.intervals import draw_patients, find_percentiles
from ecg_assets.metrics.ranks import TieBlocks


class Unit(StrEnum):
    """What is drawn with replacement."""

    RECORDING = "recording"
    PATIENT = "patient"


class Undefined(StrEnum):
    """What becomes of a label that has one class only in a resample."""

    HALF = "half"
    """Its AUROC counts 0.5; also in the value itself, where the data have one class only."""

    REDRAW = "redraw"
    """The resample is not counted, another is drawn."""

    UNDEFINED = "undefined"
    """The mean of this resample is undefined."""


class Measure(StrEnum):
    """Of a label's scores; the mean over labels is what has an interval."""

    AUROC = "auroc"
    AUPRC = "auprc"
    SENSITIVITY_WITHIN_CAPACITY = "sensitivity_within_capacity"
    """Within 5 % of the recordings: `ecg_assets.metrics.confusion.sensitivity_within_capacity`."""


MOST_TRIES = 100
"""Draws for each resample that is to have both classes of every label."""


@dataclass(frozen=True)
class Resampling:
    """A rule for intervals.

    Attributes
    ----------
    unit
        What is drawn.
    n_resamples
        How many resamples count, 1 to 65,535 or none.
    percent
        Share of the resamples between the two ends, above 0 and below 100; 90 is from the 5th
        to the 95th percentile.
    undefined
        What becomes of a label without positives, or without negatives.

    Raises
    ------
    ValueError
        When a value is none of these.
    """

    unit: Unit = Unit.PATIENT
    n_resamples: int = 1000
    percent: float = 95.0
    undefined: Undefined = Undefined.UNDEFINED

    def __post_init__(self) -> None:
        """Refuse what is no rule; names may be given as text."""
        object.__setattr__(self, "unit", Unit(self.unit))
        object.__setattr__(self, "undefined", Undefined(self.undefined))
        if not 0 <= self.n_resamples < 2**16:
            raise ValueError(f"n_resamples is {self.n_resamples}; expected 0 to 65,535.")
        if not 0 < self.percent < 100:
            raise ValueError(f"percent is {self.percent}; expected above 0 and below 100.")


EIGHT_MODEL_COMPARISON = Resampling(Unit.RECORDING, 1000, 95.0, Undefined.HALF)
"""Of arXiv 2509.25095: AI4HealthUOL/ecg-fm-benchmarking, ``utils/eval_utils_cafa.py`` and
``utils/bootstrap_utils.py``. The more labels are rare, the further the resamples lie below the
value, which can lie outside its own interval."""

PTB_XL_BENCHMARK = Resampling(Unit.RECORDING, 100, 90.0, Undefined.REDRAW)
"""Of doi:10.1109/JBHI.2020.3022989: helme/ecg_ptbxl_benchmarking, ``code/utils/utils.py``."""


@dataclass(frozen=True)
class MacroInterval:
    """A mean over labels and its interval by some rule.

    Attributes
    ----------
    value
        Of the data itself; NaN where undefined.
    low, high
        Percentiles of the resamples; NaN where fewer than half of them are defined.
    n_undefined
        Resamples without a value, of those that the rule asks for.
    """

    value: float
    low: float
    high: float
    n_undefined: int


def macro_interval(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    subject_ids: NDArray[Any],
    rule: Resampling,
    generator: np.random.Generator,
    *,
    measure: Measure = Measure.AUROC,
) -> MacroInterval:
    """Find a mean over labels and its interval by a rule.

    Parameters
    ----------
    target, score
        0 or 1 or `NOT_MEASURED`, and scores without NaN, ``(record, label)``.
    subject_ids
        Patient of each record; not looked at where recordings are drawn.
    rule, measure
        How resamples are drawn, and of what.

    Raises
    ------
    ValueError
        As `resample_macro`.
    """
    scores = score[np.newaxis]
    values, draws = resample_macro(target, scores, subject_ids, rule, generator, measure=measure)
    low, high, n_undefined = find_percentiles(draws, rule.percent)
    return MacroInterval(float(values[0]), float(low[0]), float(high[0]), int(n_undefined[0]))


def resample_macro(
    target: NDArray[np.uint8],
    scores: NDArray[np.floating[Any]],
    subject_ids: NDArray[Any],
    rule: Resampling,
    generator: np.random.Generator,
    *,
    measure: Measure = Measure.AUROC,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the mean over labels of several models, also in resamples, the same for all of them.

    The mean is over the labels that have both classes in the data; by the rule `Undefined.HALF`
    over all labels.

    Parameters
    ----------
    target
        0 or 1 or `NOT_MEASURED`, ``(record, label)``.
    scores
        Without NaN, ``(model, record, label)``.
    subject_ids
        Patient of each record.
    rule, measure
        How resamples are drawn, and of what.

    Returns
    -------
    tuple of NDArray
        Values ``(model,)`` and resamples ``(draw, model)``; NaN where undefined.

    Raises
    ------
    ValueError
        When shapes do not fit, a score is NaN, or something else than an AUROC shall be a half.
    """
    require_scores(target, scores, subject_ids)
    is_half = rule.undefined is Undefined.HALF
    if is_half and measure != Measure.AUROC:
        raise ValueError(f"Only an AUROC is 0.5 by chance; {measure} needs another rule.")
    unit = np.arange(len(target))
    if rule.unit is Unit.PATIENT:
        _, unit = np.unique(subject_ids, return_inverse=True)
    n_units = int(unit.max(initial=-1)) + 1
    labels = find_two_class_labels(target)
    counts = _draw_counts(target[:, labels], unit, n_units, rule, generator)
    n_counted = target.shape[1] if is_half else len(labels)
    # One row more than resamples: the data itself, each unit once.
    weights = np.vstack([np.ones((1, n_units), np.uint16), counts])
    sums = np.full((len(weights), len(scores)), 0.5 * (n_counted - len(labels)))
    for k in labels:
        for model, score in enumerate(scores[:, :, k]):
            known, (scored, moves_with) = keep_known(target[:, k], score, unit)
            found = _measure(TieBlocks.from_scores(known, scored, moves_with), weights, measure)
            sums[:, model] += np.where(is_half & np.isnan(found), 0.5, found)
    means = np.full((1 + rule.n_resamples, len(scores)), np.nan)
    if n_counted:
        means[: len(weights)] = sums / n_counted
    return means[0], means[1:]


def _measure(
    blocks: TieBlocks, weights: NDArray[np.uint16], measure: Measure
) -> NDArray[np.float64]:
    if measure == Measure.SENSITIVITY_WITHIN_CAPACITY:
        return blocks.resample_within(weights, capacity=0.05)
    return blocks.resample(weights)[:, 0 if measure == Measure.AUROC else 1]


def require_scores(
    target: NDArray[Any], scores: NDArray[np.floating[Any]], subject_ids: NDArray[Any]
) -> None:
    """Raise unless scores ``(model, record, label)`` fit the target and hold no NaN."""
    is_fitting = scores.ndim == 3 and target.ndim == 2 and scores.shape[1:] == target.shape
    if not is_fitting or len(subject_ids) != len(target):
        raise ValueError(
            f"target has shape {target.shape}, scores {scores.shape}, and {len(subject_ids)} "
            "patients; expected (record, label), (model, record, label), and a patient a record."
        )
    if n_nan := int(np.isnan(scores).sum()):
        raise ValueError(f"scores hold {n_nan} NaN; leave out the labels that a model lacks.")


def find_two_class_labels(target: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Columns that have a positive and a negative record.

    >>> find_two_class_labels(np.array([[0, 1, 255], [1, 1, 0]], np.uint8)).tolist()
    [0]
    """
    positive = is_positive(target)
    return np.flatnonzero(positive.any(axis=0) & (is_known(target) & ~positive).any(axis=0))


def _draw_counts(
    target: NDArray[np.uint8],
    unit: NDArray[np.intp],
    n_units: int,
    rule: Resampling,
    generator: np.random.Generator,
) -> NDArray[np.uint16]:
    """How often each unit was drawn, ``(draw, unit)``; fewer draws where redrawing gave up."""
    blocks: Iterator[NDArray[np.int64]] = draw_patients(n_units, rule.n_resamples, generator)
    if rule.undefined is Undefined.REDRAW:
        blocks = _draw_with_both_classes(target, unit, n_units, rule.n_resamples, generator)
    empty = np.empty((0, n_units), np.uint16)
    return np.concatenate([empty, *(block.astype(np.uint16) for block in blocks)])


def _draw_with_both_classes(
    target: NDArray[np.uint8],
    unit: NDArray[np.intp],
    n_units: int,
    n_resamples: int,
    generator: np.random.Generator,
) -> Iterator[NDArray[np.int64]]:
    positive = is_positive(target)
    is_of_class = np.hstack([positive, is_known(target) & ~positive])
    of_class = np.zeros((n_units, is_of_class.shape[1]))
    np.add.at(of_class, unit, is_of_class)
    n_left = n_resamples
    for counts in draw_patients(n_units, MOST_TRIES * n_resamples, generator):
        chosen = counts[(counts @ of_class > 0).all(axis=1)][:n_left]
        yield chosen
        n_left -= len(chosen)
        if not n_left:
            return
