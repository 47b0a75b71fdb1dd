"""Resampling: linear as fairseq-signals does it, or polyphase."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import median_filter

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
    before = np.minimum(np.floor(position), n_old - 1).astype(np.int64)
    after = np.minimum(np.ceil(position), n_old - 1).astype(np.int64)
    missing = np.isnan(signal)
    resampled[missing[..., before] | missing[..., after]] = np.nan
    return np.asarray(resampled, np.float64)


# ECGFounder's filter: mains hum, band, baseline wander.


def filter_ecg_founder(signal: NDArray[np.float64], sample_rate_hz: float) -> NDArray[np.float64]:
    """Filter each lead as ECGFounder's ``filter_bandpass`` does.

    A notch of 50 Hz and quality 30, then a Butterworth band-pass of order 4 from 0.67 to
    40 Hz, both forwards and backwards (no phase shift); then minus the median over 0.4 s,
    taken with zeros beyond the ends.

    Parameters
    ----------
    signal
        ``(…, sample)`` in mV; NaN is a missing sample and stays NaN. The filters see a
        straight line in its place: the 0 mV that ECGFounder puts there would ring around
        each gap.
    sample_rate_hz
        Above 100.

    Returns
    -------
    NDArray[np.float64]
        ``(…, sample)`` in mV; a constant lead becomes 0.

    Notes
    -----
    Source: https://github.com/PKUDigitalHealth/ECGFounder
    """
    from scipy.signal import butter, filtfilt, iirnotch, sosfiltfilt

    if not signal.size:
        return signal
    level = fill_gaps(signal)
    # Nothing of a lead's level passes; taken off beforehand, none of its rounding does.
    level -= level[..., :1]
    # scipy's padding, or what a short signal has of it.
    n_other = signal.shape[-1] - 1
    notched = filtfilt(*iirnotch(50, 30, sample_rate_hz), level, padlen=min(9, n_other))
    # ECGFounder's one quotient of polynomials of order 8 loses digits with each Hz of the
    # sample rate (1e-6 mV at 500, 1e-4 at 1000); a chain of quotients of order 2 does not.
    chain = butter(4, [0.67, 40], "bandpass", fs=sample_rate_hz, output="sos")
    band = sosfiltfilt(chain, notched, padlen=min(27, n_other))
    window = int(0.4 * sample_rate_hz) + 1
    window += 1 - window % 2
    # Lead by lead: over several axes at once the median takes fifteen times as long.
    baseline = np.apply_along_axis(median_filter, -1, band, size=window, mode="constant")
    return np.where(np.isnan(signal), np.nan, band - baseline)
