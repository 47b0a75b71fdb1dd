"""The population stability index: how far a distribution lies from its reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_BINS = 10
"""Bins of a number: the deciles of its reference."""

CHANCE_QUANTILE = 0.999
"""Without drift an index exceeds `chance_limit` in one of a thousand comparisons."""

_SMOOTHING = 0.5
"""Added to each bin's count: an empty bin would make the index infinite."""


def stability_index(
    reference: NDArray[np.int64], current: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Sum of (current − reference) · ln(current / reference) over the shares of the bins.

    0 for equal shares. The rule of thumb of credit scoring, where it comes from, calls less
    than 0.1 stable and more than 0.25 a shift; `expected_by_chance` says what small groups
    reach without any. Bins that are empty on both sides do not count; half a recording is
    added to each of the others.

    Parameters
    ----------
    reference, current
        Recordings in each bin, ``(…, bin)``.

    Returns
    -------
    NDArray
        ``(…,)``; NaN where a side has no recording.

    >>> float(stability_index(np.array([50, 50]), np.array([50, 50])))
    0.0
    """
    used = (reference + current) > 0
    before, now = _shares(reference, used), _shares(current, used)
    terms = (now - before) * np.log(now / before)
    index: NDArray[np.float64] = np.where(used, terms, 0.0).sum(axis=-1)
    is_empty = (reference.sum(axis=-1) == 0) | (current.sum(axis=-1) == 0)
    return np.where(is_empty, np.nan, index)


def expected_by_chance(
    n_bins: NDArray[np.int64], n_reference: NDArray[np.int64], n_current: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Mean of the index without drift: (bins − 1) · (1 / n + 1 / m).

    Divided by (1 / n + 1 / m) the index follows a χ² distribution with bins − 1 degrees of
    freedom in large samples (Yurdakul 2018, Statistical properties of population stability
    index). Give patients as n and m: the recordings of one patient are alike.

    >>> round(float(expected_by_chance(np.array(10), np.array(100), np.array(100))), 3)
    0.18
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((n_bins - 1) * (1 / n_reference + 1 / n_current), np.float64)


def chance_limit(
    n_bins: NDArray[np.int64], n_reference: NDArray[np.int64], n_current: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Quantile `CHANCE_QUANTILE` of the index without drift; 0 for a single bin."""
    from scipy.stats import chi2

    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / n_reference + 1 / n_current
    quantile = chi2.ppf(CHANCE_QUANTILE, np.maximum(n_bins - 1, 1))
    return np.asarray(np.where(n_bins > 1, quantile * scale, 0.0), np.float64)


def bin_values(
    values: NDArray[np.float64], reference: NDArray[np.bool_], n_bins: int = N_BINS
) -> NDArray[np.int64]:
    """Bin of each value: quantiles of the reference, and one bin more for missing values.

    Parameters
    ----------
    values
        ``(recording,)``; NaN is missing. Values that are all 0 or 1 keep a bin each.
    reference
        Which of them the quantiles are of.

    Returns
    -------
    NDArray
        int64 ``(recording,)`` from 0 to `n_bins`; the last is for missing values. Equal
        quantiles are one border, so that bins may be empty.

    >>> bin_values(np.array([0.0, 1.0, np.nan]), np.array([True, True, True])).tolist()
    [0, 1, 10]
    """
    is_missing = np.isnan(values)
    known = values[reference & ~is_missing]
    if np.isin(values[~is_missing], (0, 1)).all():
        borders = np.array([0.5])
    elif len(known):
        borders = np.unique(np.quantile(known, np.linspace(0, 1, n_bins + 1)[1:-1]))
    else:
        borders = np.array([])
    bins = np.searchsorted(borders, values, side="left")
    return np.where(is_missing, n_bins, bins).astype(np.int64)


def _shares(counts: NDArray[np.int64], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    smoothed = np.where(used, counts + _SMOOTHING, 1.0)  # unused ones are left out of the sums
    total = np.where(used, smoothed, 0.0).sum(axis=-1, keepdims=True)
    return np.asarray(smoothed / np.maximum(total, _SMOOTHING), np.float64)
