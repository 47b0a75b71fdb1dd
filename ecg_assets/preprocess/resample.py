"""Resampling: linear as fairseq-signals does it, or polyphase."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import resample_poly

from ecg_assets.preprocess.gaps import fill_gaps

_MAX_FACTOR = 10_000  # a filter has 20 times as many taps


def count_resampled(n_samples: ArrayLike, from_hz: ArrayLike, to_hz: float) -> NDArray[np.int64]:
    """Count the samples after resampling; a fraction is dropped.

    >>> int(count_resampled(2934, 400, 500))
    3667
    """
    ratio = np.asarray(n_samples, np.float64) * to_hz / np.asarray(from_hz, np.float64)
    return np.floor(ratio).astype(np.int64)


def resample(
    signal: NDArray[np.float64], from_hz: float, to_hz: float, method: str
) -> NDArray[np.float64]:
    """Resample along the last axis by ``linear`` or ``polyphase``; equal rates change nothing."""
    if from_hz == to_hz:
        return signal
    if method == "polyphase":
        return resample_polyphase(signal, from_hz, to_hz)
    return resample_linear(signal, from_hz, to_hz)


def resample_linear(
    signal: NDArray[np.float64], from_hz: float, to_hz: float
) -> NDArray[np.float64]:
    """Interpolate linearly along the last axis.

    The new samples lie evenly from the first old sample to the last one, both included,
    which is fairseq-signals' grid (``preprocess_utils.resample``); so the step is a
    little shorter than ``from_hz / to_hz`` old samples.

    Parameters
    ----------
    signal
        ``(…, sample)``; NaN is a missing sample. A new sample is NaN where it takes a
        share of a missing one.
    from_hz, to_hz
        Old and new sample rate.

    >>> resample_linear(np.array([0.0, 1.0, 2.0, 3.0]), 2, 1)
    array([0., 3.])
    """
    n_old = signal.shape[-1]
    n_new = int(count_resampled(n_old, from_hz, to_hz))
    position = np.linspace(0, max(n_old - 1, 0), n_new)
    left = np.minimum(position.astype(np.int64), max(n_old - 2, 0))
    right = np.minimum(left + 1, max(n_old - 1, 0))
    share = position - left
    before, after = np.take(signal, left, axis=-1), np.take(signal, right, axis=-1)
    resampled: NDArray[np.float64] = after - before
    resampled *= share
    resampled += before
    if np.isnan(resampled).any():
        # 0 × NaN is NaN: a sample that falls on an old one takes no share of its neighbour.
        resampled = np.where(share == 0, before, np.where(share == 1, after, resampled))
    return resampled


def resample_polyphase(
    signal: NDArray[np.float64], from_hz: float, to_hz: float
) -> NDArray[np.float64]:
    """Resample along the last axis through a low-pass filter, so that nothing folds back.

    New samples lie ``from_hz / to_hz`` old ones apart, the first on the first. A ratio of
    rates that is no fraction with a denominator up to 10 000 is taken to the nearest one.

    Parameters
    ----------
    signal
        ``(…, sample)``; NaN is a missing sample. The filter sees a straight line in its
        place; a new sample is NaN where it lies less than one old sample from it.
    from_hz, to_hz
        Old and new sample rate.

    >>> resample_polyphase(np.full(8, 3.0), 4, 2)
    array([3., 3., 3., 3.])
    """
    n_old, n_new = signal.shape[-1], int(count_resampled(signal.shape[-1], from_hz, to_hz))
    if min(n_old, n_new) < 2:
        return resample_linear(signal, from_hz, to_hz)
    ratio = Fraction(to_hz / from_hz).limit_denominator(_MAX_FACTOR)
    position = np.arange(n_new) * from_hz / to_hz
    # The filter takes 0 beyond the ends and ripples on a constant: it gets what is left
    # over the straight line from the first sample to the last.
    filled = fill_gaps(signal)
    first, slope = filled[..., :1], (filled[..., -1:] - filled[..., :1]) / (n_old - 1)
    rest = filled - first - slope * np.arange(n_old)
    resampled = resample_poly(rest, ratio.numerator, ratio.denominator, axis=-1)
    # A ratio taken to the nearest fraction can leave the end a sample short.
    resampled = resampled[..., np.minimum(np.arange(n_new), resampled.shape[-1] - 1)]
    resampled += first + slope * position
    before = np.minimum(np.floor(position), n_old - 1).astype(np.int64)
    after = np.minimum(np.ceil(position), n_old - 1).astype(np.int64)
    missing = np.isnan(signal)
    resampled[missing[..., before] | missing[..., after]] = np.nan
    return np.asarray(resampled, np.float64)
