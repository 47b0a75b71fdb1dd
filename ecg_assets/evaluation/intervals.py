"""95 % intervals by a bootstrap that resamples patients, not recordings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation.metrics import METRICS
from ecg_assets.evaluation.patient_statistics import PatientStatistics

MIN_VALID_SHARE = 0.5
"""An interval needs a defined value in at least this share of the resamples."""

SUMMARIES = ("macro", "weighted", "micro")
"""Rows after the labels: mean over labels, mean weighted by positives, all pairs pooled."""

_MOST_COUNTS, _MOST_DRAWS = 2**21, 1024
"""Counts of patients and resamples held at a time, whatever the number of resamples."""


@dataclass(frozen=True)
class BootstrapIntervals:
    """Values of each metric and their percentile intervals.

    Attributes
    ----------
    values
        Of the data itself, float64 ``(row, metric)``: a row a label, then `SUMMARIES` or the
        first of them. NaN where undefined.
    low, high
        2.5 and 97.5 percentile of the resamples, of the same shape. NaN where undefined.
    n_resamples
        Resamples drawn.
    n_undefined
        Resamples in which a metric was undefined, int64, of the same shape.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n_resamples: int
    n_undefined: NDArray[np.int64]


def bootstrap_by_patient(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    thresholds: NDArray[np.float64],
    subject_ids: NDArray[Any],
    *,
    n_resamples: int,
    generator: np.random.Generator,
    is_pooled: bool = False,
    has_lines: bool = True,
) -> BootstrapIntervals:
    """Draw patients with replacement; a patient's recordings move together.

    Parameters
    ----------
    target, score
        0 or 1, and probabilities without NaN, ``(record, label)``.
    thresholds
        ``(label,)``; a score at or above it is called positive, NaN: undefined.
    subject_ids
        Patient of each record.
    is_pooled
        Whether rows ``weighted`` and ``micro`` follow the row ``macro``.
    has_lines
        Whether calibration lines are fitted; without, slope and intercept are NaN.
    """
    _, patient = np.unique(subject_ids, return_inverse=True)
    statistics = PatientStatistics.from_arrays(
        target,
        score,
        thresholds,
        patient.astype(np.intp),
        is_pooled=is_pooled,
        has_lines=has_lines,
    )
    n_labels, n_patients = target.shape[1], len(statistics.sums)
    everyone = np.ones((1, n_patients), np.int64)
    values, positives = statistics.describe(everyone)
    defined = np.isfinite(values[0, :n_labels])
    resampled = statistics.for_resampling()
    draws = np.full((n_resamples, n_labels + (3 if is_pooled else 1), len(METRICS)), np.nan)
    start = 0
    for counts in draw_patients(n_patients, n_resamples, generator):
        found = resampled.describe(counts)
        draws[start : start + len(counts)] = _with_summaries(*found, defined)
        start += len(counts)
    low, high, n_undefined = find_percentiles(draws)
    point = _with_summaries(values, positives, defined)[0]
    return BootstrapIntervals(point, low, high, n_resamples, n_undefined)


def draw_patients(
    n_patients: int, n_resamples: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Draw resamples in blocks of bounded size; the draws do not depend on the blocks.

    Yields
    ------
    NDArray
        How often each patient was drawn, int64 ``(draw, patient)``.
    """
    step = min(max(1, _MOST_COUNTS // max(n_patients, 1)), _MOST_DRAWS)
    for start in range(0, n_resamples if n_patients else 0, step):
        counts = np.empty((min(step, n_resamples - start), n_patients), np.int64)
        for row in counts:
            drawn = generator.integers(0, n_patients, n_patients)
            row[:] = np.bincount(drawn, minlength=n_patients)
        yield counts


def find_percentiles(
    draws: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """95 % percentile interval over the first axis, and how many draws were undefined.

    NaN where less than `MIN_VALID_SHARE` of the draws are defined.
    """
    undefined = np.isnan(draws).sum(axis=0)
    enough = (undefined <= (1 - MIN_VALID_SHARE) * len(draws)) & (undefined < len(draws))
    borders = np.full((2, *enough.shape), np.nan)
    if enough.any():
        borders[:, enough] = np.nanpercentile(draws[:, enough], [2.5, 97.5], axis=0)
    return borders[0], borders[1], undefined


def _with_summaries(
    values: NDArray[np.float64], positives: NDArray[np.float64], defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Add the means over labels to ``(draw, row, metric)``, before the pooled row if any."""
    n_labels = len(defined)
    of_labels, weights = values[:, :n_labels], positives[:, :n_labels, np.newaxis]
    rows = [of_labels, mean_over_labels(of_labels, np.ones_like(weights), defined)]
    if values.shape[1] > n_labels:
        rows += [mean_over_labels(of_labels, weights, defined), values[:, n_labels:]]
    return np.concatenate(rows, axis=1)


def mean_over_labels(
    values: NDArray[np.float64], weights: NDArray[np.float64], defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Weighted mean over the labels that are defined in the data, ``(draw, 1, metric)``.

    NaN in a resample in which one of them is not defined: else the mean would be over
    other labels than the value itself.
    """
    weight = np.where(defined, weights, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    picked = np.where(defined, values * weights, 0.0).sum(axis=1, keepdims=True)
    mean: NDArray[np.float64] = np.full(total.shape, np.nan)
    np.divide(picked, total, out=mean, where=total > 0)
    return mean
