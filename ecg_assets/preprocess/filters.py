"""Filters of a signal spec as functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from ecg_assets.errors import SpecMismatch
from ecg_assets.preprocess.resample import fill_gaps
from ecg_assets.preprocess.signal_steps import (
    Butterworth,
    Fir,
    MedianBaseline,
    Notch,
    highest_frequency,
)


def apply_filters(
    signal: NDArray[np.float64], sample_rate_hz: float, steps: Sequence[Any]
) -> NDArray[np.float64]:
    """Filter each lead by steps, one after the other.

    Parameters
    ----------
    signal
        ``(…, sample)`` in mV; NaN is a missing sample and stays NaN. The filters see a straight
        line in its place: 0 mV there would ring around each gap.
    sample_rate_hz
        Above twice the frequencies of the steps.
    steps
        Of `ecg_assets.preprocess.signal_steps`.

    Returns
    -------
    NDArray[np.float64]
        ``(…, sample)`` in mV. A constant lead becomes 0 where a step lets no level pass.

    Raises
    ------
    SpecMismatch
        When a frequency is not below half of the sample rate.
    """
    if not signal.size or not steps:
        return signal
    highest = highest_frequency(steps)
    if sample_rate_hz <= 2 * highest:
        raise SpecMismatch(
            f"A recording has {sample_rate_hz:g} Hz, and the filter knows {highest:g} Hz, so that "
            f"it must have more than {2 * highest:g}. The signal spec filters before it resamples; "
            "leave out recordings of so low a sample rate."
        )
    filtered = fill_gaps(signal)
    linear = takewhile(lambda step: not isinstance(step, MedianBaseline), steps)
    if any(_blocks_level(step) for step in linear):
        # Nothing of a lead's level passes; taken off beforehand, none of its rounding does.
        filtered -= filtered[..., :1]
    for step in steps:
        filtered = _apply(step, filtered, sample_rate_hz)
    return np.where(np.isnan(signal), np.nan, filtered)


def _blocks_level(step: Any) -> bool:
    """Tell whether nothing of a constant passes a step, up to rounding."""
    return isinstance(step, Butterworth) and step.low_hz is not None and step.form == "sos"


def _apply(step: Any, signal: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Filter ``(…, sample)`` without missing samples."""
    from scipy.signal import butter, firwin, iirnotch, lfilter, sosfilt

    match step:
        case MedianBaseline():
            window = int(step.window_s * rate) + 1
            window += 1 - window % 2
            # Lead by lead: over several axes at once the median takes fifteen times as long.
            baseline = np.apply_along_axis(median_filter, -1, signal, size=window, mode="constant")
            return np.asarray(signal - baseline)
        case Notch():
            b, a = iirnotch(step.frequency_hz, step.quality, rate)
        case Fir():
            n_taps = int(step.length_s * rate) | 1
            b = firwin(n_taps, [step.low_hz, step.high_hz], pass_zero=False, fs=rate)
            a = np.ones(1)
        case Butterworth(form="sos"):
            band, kind = _band(step)
            chain = butter(step.order, band, kind, fs=rate, output="sos")
            if not step.zero_phase:
                return np.asarray(sosfilt(chain, signal), np.float64)
            return _both_ways(chain, signal)
        case _:
            band, kind = _band(step)
            b, a = butter(step.order, band, kind, fs=rate)
    if not getattr(step, "zero_phase", True):
        return np.asarray(lfilter(b, a, signal), np.float64)
    return _forwards_and_back(b, a, signal)


def _forwards_and_back(
    b: NDArray[np.float64], a: NDArray[np.float64], signal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Filter as filtfilt of scipy up to 1.17, with which the golden files of CLEF were made.

    From 1.18 on it finds another state to start from: of a filter as steep as CLEF's in one
    quotient by some 1e-6, which moved standardized signals by 3e-3.
    """
    from scipy.linalg import companion
    from scipy.signal import lfilter

    n = max(len(a), len(b))
    above, below = (np.pad(of, (0, n - len(of))) / a[0] for of in (b, a))
    at_rest = np.linalg.solve(np.eye(n - 1) - companion(below).T, above[1:] - below[1:] * above[0])
    # scipy's padding, or what a short signal has of it.
    padding = min(3 * n, signal.shape[-1] - 1)
    edges = [(0, 0)] * (signal.ndim - 1) + [(padding, padding)]
    found = np.pad(signal, edges, mode="reflect", reflect_type="odd")
    for _ in range(2):  # forwards, and what came of it backwards
        found = lfilter(b, a, found, zi=at_rest * found[..., :1])[0][..., ::-1]
    return np.asarray(found[..., padding : found.shape[-1] - padding], np.float64)


def _both_ways(chain: NDArray[np.float64], signal: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.signal import sosfiltfilt

    n_zeros = min((chain[:, 2] == 0).sum(), (chain[:, 5] == 0).sum())
    padding = 3 * (2 * len(chain) + 1 - int(n_zeros))  # scipy's
    padding = min(padding, signal.shape[-1] - 1)
    return np.asarray(sosfiltfilt(chain, signal, padlen=padding), np.float64)


def _band(step: Butterworth) -> tuple[Any, str]:
    if step.low_hz is None:
        return step.high_hz, "lowpass"
    if step.high_hz is None:
        return step.low_hz, "highpass"
    return [step.low_hz, step.high_hz], "bandpass"
