"""Linear resampling, as fairseq-signals does it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def count_resampled(n_samples: ArrayLike, from_hz: ArrayLike, to_hz: float) -> NDArray[np.int64]:
    """Count the samples after resampling; a fraction is dropped.

    >>> int(count_resampled(2934, 400, 500))
    3667
    """
    ratio = np.asarray(n_samples, np.float64) * to_hz / np.asarray(from_hz, np.float64)
    return np.floor(ratio).astype(np.int64)


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
