"""Stored integers to millivolts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.sources import MISSING


def lead_scales(
    signals: pa.Table, leads: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gain (ADC units in one mV) and baseline (ADC units at 0 mV) of a shard's recordings.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares.
    leads
        Leads in the order wanted.

    Returns
    -------
    tuple
        Both float64 ``(record, lead)``.
    """
    gain, baseline = (
        np.stack([signals[f"{name}_{lead}"].to_numpy() for lead in leads], axis=1)
        for name in ("gain", "baseline")
    )
    return gain.astype(np.float64), baseline.astype(np.float64)


def to_millivolts(
    samples: NDArray[np.int16], gain: NDArray[np.float64], baseline: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Convert stored integers ``(record, lead, sample)`` to mV; a missing one becomes NaN.

    Gain and baseline are ``(record, lead)``.

    >>> to_millivolts(np.array([[[7, -32768]]], np.int16), np.array([[2.0]]), np.array([[3.0]]))
    array([[[ 2., nan]]])
    """
    signal_mv: NDArray[np.float64] = (samples - baseline[..., None]) / gain[..., None]
    signal_mv[samples == MISSING] = np.nan
    return signal_mv
