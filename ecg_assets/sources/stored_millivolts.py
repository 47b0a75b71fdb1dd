"""Millivolts as 16-bit integers, fine enough that nothing visible is lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.record import MISSING

_LEAST_GAIN = 1000.0
_MOST_DOUBLINGS = 5
_LARGEST = 32766
"""One below the largest int16: rounding the baseline may add one."""


def store_millivolts(
    signal_mv: NDArray[np.floating],
) -> tuple[NDArray[np.int16], NDArray[np.float64], NDArray[np.int64]]:
    """Turn millivolts into stored integers.

    Each lead has a gain of its own: 1000/mV, doubled up to five times while its samples fit.
    What was digitized at 1000, 500, 250, 200 or 125 ADC units per mV is thus stored without
    loss, all else to half a microvolt or better. A lead that lies far from 0 mV is stored
    around its middle.

    Parameters
    ----------
    signal_mv
        ``(lead, sample)``; NaN is a missing sample.

    Returns
    -------
    tuple
        int16 ``(lead, sample)`` with -32768 for missing; gain and baseline, ``(lead,)``.

    Raises
    ------
    BadRecord
        ``not_finite``, or ``samples_exceed_int16`` when a lead spans more than 65 mV.

    >>> stored, gain, baseline = store_millivolts(np.array([[0.5, -2.0, np.nan]]))
    >>> stored.tolist(), gain.tolist(), baseline.tolist()
    ([[8000, -32000, -32768]], [16000.0], [0])
    """
    signal = np.asarray(signal_mv, dtype=np.float64)
    if np.isinf(signal).any():
        raise BadRecord("not_finite", "samples are infinite; a missing one is NaN")
    present = ~np.isnan(signal)
    low = np.min(signal, axis=1, where=present, initial=np.inf)
    high = np.max(signal, axis=1, where=present, initial=-np.inf)
    low, high = (np.where(present.any(axis=1), edge, 0.0) for edge in (low, high))
    fits = np.maximum(high, -low) * _LEAST_GAIN <= _LARGEST
    middle = np.where(fits, 0.0, (low + high) / 2)
    gain = _choose_gain(np.maximum(high - middle, middle - low))
    baseline = -np.rint(middle * gain).astype(np.int64)
    digital = np.rint(signal * gain[:, None]) + baseline[:, None]
    return np.where(present, digital, MISSING).astype(np.int16), gain, baseline


def _choose_gain(reach_mv: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the gain of each lead, given how far it goes from its middle: ``(lead,)``."""
    if np.any(reach_mv * _LEAST_GAIN > _LARGEST):
        raise BadRecord(
            "samples_exceed_int16",
            f"a lead spans {2 * reach_mv.max():.6g} mV, at most 65 fit: is its unit mV? "
            "folder.yaml's units_per_mv says how many units are one mV",
        )
    finest = _LARGEST / np.maximum(reach_mv * _LEAST_GAIN, 1e-9)
    doublings = np.clip(np.floor(np.log2(finest)), 0, _MOST_DOUBLINGS)
    gain: NDArray[np.float64] = _LEAST_GAIN * 2.0**doublings
    return gain
