"""Leads minus their mean, over their population standard deviation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.sources import MISSING


def z_score(signal: NDArray[np.float64], *, epsilon: float = 0.0) -> NDArray[np.float32]:
    """Z-score along the last axis; a constant lead becomes 0.

    Parameters
    ----------
    signal
        ``(…, sample)``; NaN stays NaN and counts for neither mean nor deviation.
    epsilon
        What is added to the deviation.

    >>> z_score(np.array([1.0, np.nan, 3.0]))
    array([-1., nan,  1.], dtype=float32)
    """
    missing = np.isnan(signal)
    has_missing = bool(missing.any())
    n_present = np.maximum(signal.shape[-1] - missing.sum(axis=-1, keepdims=True), 1)
    present = np.where(missing, 0.0, signal) if has_missing else signal
    mean = present.sum(axis=-1, keepdims=True) / n_present
    centred = signal - mean
    present = np.where(missing, 0.0, centred) if has_missing else centred
    squares = np.einsum("...s,...s->...", present, present)[..., None]
    deviation = np.sqrt(squares / n_present)
    # A mean rounded in its last digit leaves a constant lead a deviation that is no signal.
    is_constant = deviation <= 1e-12 * np.abs(mean)
    centred *= np.where(is_constant, 0.0, 1 / np.where(is_constant, 1.0, deviation + epsilon))
    scores: NDArray[np.float32] = centred.astype(np.float32)
    return scores


def z_score_integers(leads: NDArray[np.int16]) -> NDArray[np.float32]:
    """Z-score of stored integers, ``(lead, sample)``; missing and constant leads become 0.

    Mean and deviation come from exact integer sums, so that the result is the same on
    every machine.
    """
    return apply_scales(leads, integer_scales(leads))


def integer_scales(leads: NDArray[np.int16]) -> NDArray[np.float32]:
    """Measure what the z-score of stored integers takes from and multiplies them by.

    Parameters
    ----------
    leads
        Stored integers, ``(lead, sample)``; -32768 is missing and does not count.

    Returns
    -------
    NDArray[np.float32]
        ``(lead, 3)``: the whole part of the mean, its rest, and the inverse of the
        population standard deviation, which is 0 for a constant lead. float32 holds a
        sample minus the whole part exactly, but not the mean of a lead that lies far from 0.
    """
    missing = leads == MISSING
    wide = leads.astype(np.int64)
    n_present = np.full(len(leads), max(leads.shape[-1], 1))
    if missing.any():
        wide[missing] = 0
        n_present = np.maximum(n_present - missing.sum(axis=-1), 1)
    total = wide.sum(axis=-1)
    variance = _exact_variance(n_present, total, np.einsum("ls,ls->l", wide, wide))
    is_constant = variance == 0
    inverse = np.where(is_constant, 0.0, 1 / np.sqrt(np.where(is_constant, 1.0, variance)))
    whole = total // n_present
    rest = (total - whole * n_present) / n_present
    return np.stack([whole, rest, inverse], axis=-1).astype(np.float32)


def apply_scales(leads: NDArray[np.int16], scales: NDArray[np.float32]) -> NDArray[np.float32]:
    """Z-score leads, or parts of leads, by the scales of the whole; missing samples become 0.

    Parameters
    ----------
    leads
        Stored integers, ``(…, sample)``.
    scales
        As `integer_scales` gives them, ``(…, 3)``.

    >>> apply_scales(np.array([[4, 8]], np.int16), np.array([[5, 1, 0.5]], np.float32)).tolist()
    [[-1.0, 1.0]]
    """
    scores = leads.astype(np.float32)
    scores -= scales[..., 0, None]
    scores -= scales[..., 1, None]
    scores *= scales[..., 2, None]
    missing = leads == MISSING
    if missing.any():
        scores[missing] = 0
    return scores


def _exact_variance(
    n: NDArray[np.int64], total: NDArray[np.int64], squares: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Compute population variances, ``(lead,)``; Python's integers never overflow."""
    exact = n.astype(object) * squares.astype(object) - total.astype(object) ** 2
    return np.asarray(exact, np.float64) / n.astype(np.float64) ** 2
