"""Resampling: linear, polyphase, Fourier's, or resampy's."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Missing samples bridged, for steps that would spread them over the whole lead.


def fill_gaps(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bridge missing samples by straight lines between their neighbours.

    The first and last samples that are not missing go on to the ends; a lead that is
    missing as a whole becomes 0.

    Parameters
    ----------
    signal
        ``(…, sample)``; NaN is a missing sample.

    Returns
    -------
    NDArray[np.float64]
        A copy of the same shape, without NaN.

    >>> fill_gaps(np.array([np.nan, 1.0, np.nan, 3.0, np.nan]))
    array([1., 1., 2., 3., 3.])
    """
    filled = signal.copy()
    missing = np.isnan(signal)
    for lead in np.argwhere(missing.any(axis=-1)):
        at = tuple(lead)
        gaps = missing[at]
        present = np.flatnonzero(~gaps)
        filled[at][gaps] = (
            np.interp(np.flatnonzero(gaps), present, signal[at][present]) if len(present) else 0.0
        )
    return filled


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
    """Resample along the last axis by a method of `METHODS`; equal rates change nothing."""
    return signal if from_hz == to_hz else METHODS[method](signal, from_hz, to_hz)


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
    return _interpolate(signal, np.linspace(0, max(n_old - 1, 0), n_new))


def resample_by_time(
    signal: NDArray[np.float64], from_hz: float, to_hz: float
) -> NDArray[np.float64]:
    """Interpolate linearly along the last axis, samples ``from_hz / to_hz`` old ones apart.

    The first new sample lies on the first old one; behind the last old one its value goes on.
    Parameters are those of `resample_linear`.

    >>> resample_by_time(np.array([0.0, 1.0, 2.0, 3.0]), 2, 1)
    array([0., 2.])
    """
    n_new = int(count_resampled(signal.shape[-1], from_hz, to_hz))
    last = max(signal.shape[-1] - 1, 0)
    return _interpolate(signal, np.minimum(np.arange(n_new) * (from_hz / to_hz), last))


def _interpolate(signal: NDArray[np.float64], position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take values between samples ``(…, sample)``, on straight lines."""
    n_old = signal.shape[-1]
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
    from scipy.signal import resample_poly

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
    return _miss_again(np.asarray(resampled, np.float64), signal, from_hz / to_hz)


def resample_fourier(
    signal: NDArray[np.float64], from_hz: float, to_hz: float
) -> NDArray[np.float64]:
    """Resample along the last axis by the Fourier transform of all of it, as scipy does.

    It takes the signal as periodic, so that its ends ring where they differ. A missing sample is
    treated as `resample_polyphase` does, whose parameters these are.

    >>> resample_fourier(np.full(8, 3.0), 4, 2)
    array([3., 3., 3., 3.])
    """
    from scipy.signal import resample as resample_by_fourier

    n_new = int(count_resampled(signal.shape[-1], from_hz, to_hz))
    if not n_new:
        return signal[..., :0]
    resampled = resample_by_fourier(fill_gaps(signal), n_new, axis=-1)
    return _miss_again(np.asarray(resampled, np.float64), signal, from_hz / to_hz)


_KAISER_ZEROS, _KAISER_BETA, _KAISER_ROLLOFF = 50, 12.984585247040012, 0.917347282214
_KAISER_STEPS = 1 << 13


def resample_kaiser_best(
    signal: NDArray[np.float64], from_hz: float, to_hz: float
) -> NDArray[np.float64]:
    """Resample along the last axis by a windowed sinc, as resampy 0.4's ``kaiser_best`` does.

    The sinc has 50 zeros on a side and a Kaiser window; it is 0 beyond the ends. A missing sample
    is treated as `resample_polyphase` does, whose parameters these are.

    Notes
    -----
    Source: https://ccrma.stanford.edu/~jos/resample/ (band-limited interpolation)
    """
    n_old, n_new = signal.shape[-1], int(count_resampled(signal.shape[-1], from_hz, to_hz))
    if not n_new:
        return signal[..., :0]
    weights = _kaiser_weights(n_old, n_new, from_hz, to_hz)
    resampled = (weights @ fill_gaps(signal).reshape(-1, n_old).T).T
    return _miss_again(resampled.reshape(*signal.shape[:-1], n_new), signal, from_hz / to_hz)


@lru_cache(maxsize=8)
def _kaiser_weights(n_old: int, n_new: int, from_hz: float, to_hz: float) -> Any:
    """Give the weight of each old sample for each new one, sparse ``(new, old)``."""
    from scipy.sparse import csr_array

    scale = min(1.0, to_hz / from_hz)
    at = np.linspace(0, _KAISER_ZEROS, _KAISER_ZEROS * _KAISER_STEPS + 1)
    window = np.kaiser(2 * len(at) - 1, _KAISER_BETA)[len(at) - 1 :]
    table = scale * window * _KAISER_ROLLOFF * np.sinc(at * _KAISER_ROLLOFF)
    # From one old sample to the next it goes on in the table by whole entries, as there.
    step = int(scale * _KAISER_STEPS)
    position = np.arange(n_new) * (from_hz / to_hz)
    left = np.floor(position).astype(np.int64)
    share = scale * (position - left)
    count = np.arange(len(table) // step + 1)
    rows, columns, values = [], [], []
    for distance, first, direction in ((share, left, -1), (scale - share, left + 1, 1)):
        entry = (distance * _KAISER_STEPS)[:, None] + count * step
        old = first[:, None] + direction * count
        n_taken = (len(table) - np.floor(entry[:, :1])) // step
        is_within = (old >= 0) & (old < n_old) & (count < n_taken)
        new = np.broadcast_to(np.arange(n_new)[:, None], old.shape)
        rows.append(new[is_within])
        columns.append(old[is_within])
        values.append(np.interp(entry[is_within], np.arange(len(table)), table))
    where = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.concatenate(values), where), shape=(n_new, n_old))


def _miss_again(
    resampled: NDArray[np.float64], signal: NDArray[np.float64], step: float
) -> NDArray[np.float64]:
    """Make new samples NaN that lie less than one old sample from a missing one."""
    missing = np.isnan(signal)
    if missing.any():
        last = signal.shape[-1] - 1
        position = np.arange(resampled.shape[-1]) * step
        before = np.minimum(np.floor(position), last).astype(np.int64)
        after = np.minimum(np.ceil(position), last).astype(np.int64)
        resampled[missing[..., before] | missing[..., after]] = np.nan
    return resampled


METHODS: dict[str, Callable[[NDArray[np.float64], float, float], NDArray[np.float64]]] = {
    "linear": resample_linear,
    "linear-by-time": resample_by_time,
    "polyphase": resample_polyphase,
    "fourier": resample_fourier,
    "kaiser-best": resample_kaiser_best,
}
"""Methods by the names that specs have them under."""
