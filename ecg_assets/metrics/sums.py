"""Sums over records from which every metric but the ranking ones follows, patient by patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ecg_assets.metrics.calibration import N_BINS, bin_of, logit_of

JUDGED, JUDGED_POSITIVE, CALLED, HIT, RECORDS, POSITIVE, SQUARED_ERROR = range(7)
"""Columns: the first four count records of labels that have a threshold."""

GAPS = slice(7, 7 + N_BINS)
"""Score minus label, summed by reliability bin."""

GRADIENT = slice(GAPS.stop, GAPS.stop + 2)
"""Of the calibration line's log-likelihood: by slope, by intercept."""

INFORMATION = slice(GRADIENT.stop, GRADIENT.stop + 3)
"""Its negative second derivatives: slope twice, slope and intercept, intercept twice."""

N_SUMS = INFORMATION.stop


def sum_by_patient(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    threshold: float,
    patient: NDArray[np.intp],
    n_patients: int,
) -> NDArray[np.float64]:
    """Sum up one label by patient; the columns of the calibration line stay 0.

    Parameters
    ----------
    target, score, patient
        ``(record,)``.
    threshold
        A score at or above it is called positive; NaN leaves the threshold's sums at 0.

    Returns
    -------
    NDArray
        ``(patient, N_SUMS)``.
    """
    result = np.zeros((n_patients, N_SUMS))
    is_positive, difference = target == 1, score.astype(np.float64) - target
    result[:, RECORDS] = np.bincount(patient, minlength=n_patients)
    result[:, POSITIVE] = np.bincount(patient[is_positive], minlength=n_patients)
    if np.isfinite(threshold):
        is_called = score.astype(np.float64) >= threshold
        result[:, JUDGED] = result[:, RECORDS]
        result[:, JUDGED_POSITIVE] = result[:, POSITIVE]
        result[:, CALLED] = np.bincount(patient[is_called], minlength=n_patients)
        result[:, HIT] = np.bincount(patient[is_called & is_positive], minlength=n_patients)
    result[:, SQUARED_ERROR] = np.bincount(patient, np.square(difference), n_patients)
    cell = patient * N_BINS + bin_of(score)
    gaps = np.bincount(cell, difference, n_patients * N_BINS)
    result[:, GAPS] = gaps.reshape(n_patients, N_BINS)
    return result


def sum_line_by_patient(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    line: tuple[float, float],
    patient: NDArray[np.intp],
    n_patients: int,
) -> NDArray[np.float64]:
    """Sum up gradient and information of the calibration line, ``(patient, 5)``.

    Parameters
    ----------
    line
        Slope and intercept as fitted to all records; NaN gives zeros.
    """
    if not np.isfinite(line[0]):
        return np.zeros((n_patients, 5))
    x = logit_of(score)
    expected = expit(line[0] * x + line[1])
    residual, information = target - expected, expected * (1 - expected)
    terms = (residual * x, residual, information * x * x, information * x, information)
    return np.stack([np.bincount(patient, term, n_patients) for term in terms], axis=1)


def round_for_exact_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round each column to a step so coarse that no weighted sum over patients is rounded.

    A weighted sum over as many draws as there are patients, ``(patient, column)``, then has the
    same bits in any order of summation: blocks and threads cannot change a result. The step
    is at most 2⁻⁵² of the largest possible sum, far below an interval's third digit.
    """
    largest = np.abs(sums).max(axis=0, initial=0) * max(len(sums), 1)
    step = np.exp2(np.ceil(np.log2(np.maximum(largest, np.finfo(np.float64).tiny))) - 52)
    rounded: NDArray[np.float64] = np.round(sums / step) * step
    return rounded


@dataclass(frozen=True)
class Tally:
    """What metrics are computed from, of any number of resamples and labels, each ``(…)``.

    Attributes
    ----------
    auroc, auprc
        From the ranking of the scores; NaN where undefined.
    judged, judged_positive, called, hit
        Records, positives, called positives and both, of labels with a threshold; else 0.
    records, positive
        Of every label.
    squared_error
        Sum of (score − label)².
    gap
        Sum over the reliability bins of the distance of scores and labels.
    excess
        Sum of score − label.
    slope, intercept
        Of the calibration line; NaN where it is not finite.
    """

    auroc: NDArray[np.float64]
    auprc: NDArray[np.float64]
    judged: NDArray[np.float64]
    judged_positive: NDArray[np.float64]
    called: NDArray[np.float64]
    hit: NDArray[np.float64]
    records: NDArray[np.float64]
    positive: NDArray[np.float64]
    squared_error: NDArray[np.float64]
    gap: NDArray[np.float64]
    excess: NDArray[np.float64]
    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]

    @classmethod
    def from_sums(
        cls, curves: NDArray[np.float64], sums: NDArray[np.float64], line: NDArray[np.float64]
    ) -> Tally:
        """Name the columns of what was summed.

        Parameters
        ----------
        curves
            AUROC and average precision, ``(…, 2)``.
        sums
            Of `sum_by_patient` and `sum_line_by_patient`, ``(…, N_SUMS)``.
        line
            Slope and intercept at which the gradient and information were taken, ``(…, 2)``.
        """
        gap = np.abs(sums[..., GAPS]).sum(axis=-1)
        named = np.moveaxis(sums[..., : GAPS.start], -1, 0)
        excess = sums[..., GAPS].sum(axis=-1)
        columns = [*np.moveaxis(curves, -1, 0), *named, gap, excess, *_move_line(sums, line)]
        return cls(*columns)

    @property
    def rejected(self) -> NDArray[np.float64]:
        """Negatives that are not called."""
        return self.judged - self.judged_positive - self.called + self.hit


def _move_line(
    sums: NDArray[np.float64], line: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take one Newton step from the line; at the full data's own line the step is zero.

    NaN where there is one class only.
    """
    by_slope, by_intercept = np.moveaxis(sums[..., GRADIENT], -1, 0)
    slope_twice, mixed, intercept_twice = np.moveaxis(sums[..., INFORMATION], -1, 0)
    determinant = slope_twice * intercept_twice - mixed**2
    # With one distinct score the two products are equal up to rounding.
    determinant = np.where(determinant > 1e-9 * slope_twice * intercept_twice, determinant, 0)
    slope = ratio(intercept_twice * by_slope - mixed * by_intercept, determinant)
    intercept = ratio(slope_twice * by_intercept - mixed * by_slope, determinant)
    has_both = (sums[..., POSITIVE] > 0) & (sums[..., POSITIVE] < sums[..., RECORDS])
    moved = (line[..., 0] + slope, line[..., 1] + intercept)
    return np.where(has_both, moved[0], np.nan), np.where(has_both, moved[1], np.nan)


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Divide, in the shape of `part`; NaN where there is nothing to divide by."""
    result: NDArray[np.float64] = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=result, where=np.broadcast_to(whole > 0, result.shape))
    return result
