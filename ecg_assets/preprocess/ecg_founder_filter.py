"""ECGFounder's filter: mains hum, band, baseline wander."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.signal import butter, filtfilt, iirnotch, sosfiltfilt

from ecg_assets.preprocess.gaps import fill_gaps


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
