"""Sums over records from which every metric but the ranking ones follows.

A resample of patients changes how often each patient's sums count, and nothing else: they
are made once, and a block of resamples is one matrix product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from ecg_assets.evaluation.calibration import N_BINS, bin_of, logit_of

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
