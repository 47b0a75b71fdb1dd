"""Metrics of predicted numbers, with intervals by the bootstrap over patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.known import keep_known
from ecg_assets.metrics.intervals import (
    LEAST_PATIENTS,
    draw_patients,
    find_percentiles,
    undefined_if_constant,
)
from ecg_assets.metrics.sums import ratio, round_for_exact_sums

_N, _TARGET, _SCORE, _TARGET_2, _SCORE_2, _PRODUCT, _ERROR, _ERROR_2 = range(8)


@dataclass(frozen=True)
class NumberSums:
    """Sums over recordings, of any number of resamples and targets, each ``(…)``.

    Numbers are taken from the target's mean, so that squares do not cancel.

    Attributes
    ----------
    n, target, score
        Recordings, and sums of measured and predicted numbers.
    target_2, score_2, product
        Of their squares and products.
    error, error_2
        Of the absolute and squared differences of the two.
    """

    n: NDArray[np.float64]
    target: NDArray[np.float64]
    score: NDArray[np.float64]
    target_2: NDArray[np.float64]
    score_2: NDArray[np.float64]
    product: NDArray[np.float64]
    error: NDArray[np.float64]
    error_2: NDArray[np.float64]

    @property
    def target_spread(self) -> NDArray[np.float64]:
        """Sum of squares of the measured numbers about their mean; 0 where rounding is all."""
        return _spread(self.n, self.target, self.target_2)

    @property
    def score_spread(self) -> NDArray[np.float64]:
        """The same of the predicted ones."""
        return _spread(self.n, self.score, self.score_2)


def _spread(
    n: NDArray[np.float64], total: NDArray[np.float64], square: NDArray[np.float64]
) -> NDArray[np.float64]:
    spread = square - total**2 / np.maximum(n, 1)
    return np.where(spread > 1e-12 * square, spread, 0.0)


@dataclass(frozen=True)
class NumberMetric:
    """A metric of predicted numbers, and all that is said of it.

    Attributes
    ----------
    name, title, formula, guide
        As of `ecg_assets.metrics.metrics.Metric`.
    compute
        Its values from sums; NaN where undefined.
    otherwise
        Why it is undefined.
    higher_is_better
        Whether.
    has_unit
        Whether it is in the target's unit; else it has none, and can be averaged over targets.
    """

    name: str
    title: str
    formula: str
    guide: str
    compute: Callable[[NumberSums], NDArray[np.float64]]
    otherwise: str
    higher_is_better: bool = True
    has_unit: bool = False


_ALL_ALIKE = "fewer than two different measured values in the evaluation set"

NUMBER_METRICS = {
    metric.name: metric
    for metric in (
        NumberMetric(
            "r2",
            "R²",
            "1 − sum of squared errors ÷ sum of squares of the measured values about their mean",
            "1 is perfect; 0 is what the set's own mean gives, below it the model is worse.",
            lambda s: 1 - ratio(s.error_2, s.target_spread),
            _ALL_ALIKE,
        ),
        NumberMetric(
            "mae",
            "MAE",
            "mean of |predicted − measured|",
            "In the target's unit; 0 is perfect.",
            lambda s: ratio(s.error, s.n),
            "no measured value in the evaluation set",
            higher_is_better=False,
            has_unit=True,
        ),
        NumberMetric(
            "rmse",
            "RMSE",
            "square root of the mean of (predicted − measured)²",
            "In the target's unit; large errors weigh more than in the MAE.",
            lambda s: np.sqrt(ratio(s.error_2, s.n)),
            "no measured value in the evaluation set",
            higher_is_better=False,
            has_unit=True,
        ),
        NumberMetric(
            "pearson",
            "Pearson r",
            "covariance of predicted and measured values ÷ product of their deviations",
            "1 is a straight line, whatever its slope and offset; 0 is no linear relation.",
            lambda s: ratio(
                s.product - s.target * s.score / np.maximum(s.n, 1),
                np.sqrt(s.target_spread * s.score_spread),
            ),
            "the measured or the predicted values are all the same",
        ),
    )
}
"""Each metric by its name, in the order of every array ``(…, metric)``."""


@dataclass(frozen=True)
class NumberIntervals:
    """Values and percentile intervals of each target, and the mean over targets in a last row.

    Attributes
    ----------
    values, low, high
        float64 ``(target + 1, metric)``. In the last row, of metrics with a unit NaN unless there
        is one target. NaN where undefined, as in
        `ecg_assets.metrics.intervals.BootstrapIntervals`.
    n, n_patients
        Recordings and patients of whom each target is measured, int64 ``(target,)``.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]
    n_patients: NDArray[np.int64]


def bootstrap_numbers(
    target: NDArray[np.floating[Any]],
    score: NDArray[np.floating[Any]],
    subject_ids: NDArray[Any],
    *,
    n_resamples: int,
    generator: np.random.Generator,
    least_patients: int = LEAST_PATIENTS,
) -> NumberIntervals:
    """Draw patients with replacement; a patient's recordings move together.

    Parameters
    ----------
    target, score
        Measured and predicted numbers, ``(record, target)``; a target may be NaN.
    subject_ids
        Patient of each record.
    least_patients
        Of fewer there is no interval; a target that is measured of fewer has none either.
    """
    sums = _sum_numbers(target, score, subject_ids)
    return _resample(sums, lambda values: values, n_resamples, generator, least_patients)


def compare_numbers(
    target: NDArray[np.floating[Any]],
    scores: tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]],
    subject_ids: NDArray[Any],
    *,
    n_resamples: int,
    generator: np.random.Generator,
    least_patients: int = LEAST_PATIENTS,
) -> NumberIntervals:
    """Subtract the metrics of the second predictions from those of the first, in each resample.

    Parameters
    ----------
    target, subject_ids, least_patients
        As `bootstrap_numbers` takes them.
    scores
        Two predictions of the same numbers.
    """
    sums = _sum_numbers(np.hstack([target, target]), np.hstack(scores), subject_ids)
    n_targets = target.shape[1]
    return _resample(
        sums,
        lambda values: values[:, :n_targets] - values[:, n_targets:],
        n_resamples,
        generator,
        least_patients,
    )


def _sum_numbers(
    target: NDArray[np.floating[Any]], score: NDArray[np.floating[Any]], subject_ids: NDArray[Any]
) -> NDArray[np.float64]:
    """Sum up each target by patient, ``(patient, target, sum)``."""
    _, patient = np.unique(subject_ids, return_inverse=True)
    n_patients = int(patient.max(initial=-1)) + 1
    pairs = zip(target.T, score.T, strict=True)
    return np.stack([_sum_by_patient(*pair, patient, n_patients) for pair in pairs], axis=1)


def _resample(
    sums: NDArray[np.float64],
    combine: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    n_resamples: int,
    generator: np.random.Generator,
    least_patients: int,
) -> NumberIntervals:
    """Compute what is wanted of the metrics ``(draw, target, metric)``, with its intervals."""
    n_patients = len(sums)
    point = combine(_describe(sums, np.ones((1, n_patients), np.int64)))
    defined = np.isfinite(point[0])
    values = _with_mean(point, defined)[0]
    columns = range(sums.shape[1])
    exact = np.stack([round_for_exact_sums(sums[:, k]) for k in columns], axis=1)
    n_draws = n_resamples if n_patients >= least_patients else 0
    draws = [
        _with_mean(combine(_describe(exact, counts)), defined)
        for counts in draw_patients(n_patients, n_draws, generator)
    ]
    ends = find_percentiles(np.concatenate([np.empty((0, *values.shape)), *draws]))
    low, high = undefined_if_constant(*ends[:2])
    known = sums[:, : len(defined), _N]
    n_known = (known > 0).sum(axis=0).astype(np.int64)
    is_few = np.flatnonzero(n_known < least_patients)
    low[is_few], high[is_few] = np.nan, np.nan
    return NumberIntervals(values, low, high, known.sum(axis=0).astype(np.int64), n_known)


def describe_numbers(
    target: NDArray[np.floating[Any]], score: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Compute every metric of every target, ``(target, metric)`` in the order of `NUMBER_METRICS`.

    >>> measured = np.array([[1.0], [2.0], [np.nan], [3.0]])
    >>> describe_numbers(measured, np.array([[1.0], [2.0], [9.0], [2.0]]))[0].round(3).tolist()
    [0.5, 0.333, 0.577, 0.866]
    """
    found = bootstrap_numbers(
        target, score, np.zeros(len(target)), n_resamples=0, generator=np.random.default_rng()
    )
    return found.values[:-1]


def _sum_by_patient(
    target: NDArray[np.floating[Any]],
    score: NDArray[np.floating[Any]],
    patient: NDArray[np.intp],
    n_patients: int,
) -> NDArray[np.float64]:
    """Sum up the known rows of one target, ``(patient, sum)``."""
    known, (scored, moves_with) = keep_known(target, score, patient)
    measured, predicted = known.astype(np.float64), scored.astype(np.float64)
    error = predicted - measured
    center = measured.mean() if len(measured) else 0.0
    measured, predicted = measured - center, predicted - center
    terms = {
        _N: np.ones(len(measured)),
        _TARGET: measured,
        _SCORE: predicted,
        _TARGET_2: measured**2,
        _SCORE_2: predicted**2,
        _PRODUCT: measured * predicted,
        _ERROR: np.abs(error),
        _ERROR_2: error**2,
    }
    return np.stack([np.bincount(moves_with, terms[k], n_patients) for k in sorted(terms)], axis=1)


def _describe(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Metrics of each resample, ``(draw, target, metric)``, of sums ``(patient, target, sum)``."""
    n_patients, n_targets, n_sums = sums.shape
    weighted = counts.astype(np.float64) @ sums.reshape(n_patients, n_targets * n_sums)
    columns = np.moveaxis(weighted.reshape(len(counts), n_targets, n_sums), -1, 0)
    found = NumberSums(*columns)
    return np.stack([metric.compute(found) for metric in NUMBER_METRICS.values()], axis=-1)


def _with_mean(values: NDArray[np.float64], defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Add the mean over the targets that are defined in the data."""
    mean = ratio(np.where(defined, values, 0.0).sum(axis=1, keepdims=True), defined.sum(axis=0))
    if values.shape[1] > 1:
        mean[..., [metric.has_unit for metric in NUMBER_METRICS.values()]] = np.nan
    return np.concatenate([values, mean], axis=1)
