"""One recording as a shard can store it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources import Record, read_recording

_INT32 = np.iinfo(np.int32)

_MOST_SAMPLES = 2**23 - 1
"""Samples of a lead, 4.6 h at 500 Hz: 256 such records fill a list column's 32-bit offsets."""


@dataclass(frozen=True)
class StoredRecord:
    """Stored integers of a recording's leads.

    Attributes
    ----------
    signal
        int16 ``(lead, sample)``; a missing sample is -32768.
    gain, baseline
        ADC units in one mV, and at 0 mV, ``(lead,)``.
    sample_rate_hz
        Sample rate as recorded.
    """

    signal: NDArray[np.int16]
    gain: NDArray[np.float64]
    baseline: NDArray[np.int64]
    sample_rate_hz: float


def read_stored_record(path: str, root: Path, leads: tuple[str, ...]) -> StoredRecord:
    """Read the named leads of a recording, in this order.

    Raises
    ------
    BadRecord
        When it cannot be read, or not be stored without loss.
    """
    record = read_recording(root / path, leads, root=root)
    _require_storable(record)
    signal = record.signal.astype(np.int16, copy=False)
    return StoredRecord(signal, record.gain, record.baseline, record.sample_rate)


def _require_storable(record: Record) -> None:
    """Refuse what a shard, or standardizing (a negative gain flips a lead), would spoil."""
    n_samples = record.signal.shape[1]
    if not 0 < n_samples <= _MOST_SAMPLES:
        raise BadRecord("bad_length", f"{n_samples} samples; allowed are 1 to {_MOST_SAMPLES}")
    if record.signal.dtype != np.int16:
        present = record.signal[record.signal != np.iinfo(record.signal.dtype).min]
        raise BadRecord(
            "samples_exceed_int16", f"samples run from {present.min()} to {present.max()}"
        )
    if not 1 <= record.sample_rate < math.inf:
        raise BadRecord("bad_sample_rate", f"{record.sample_rate} Hz; at least 1 is expected")
    if not all(0 < gain < math.inf for gain in record.gain.tolist()):
        raise BadRecord("bad_gain", f"gains are {record.gain.tolist()}; each must be above 0")
    if any(abs(baseline) > _INT32.max for baseline in record.baseline.tolist()):
        raise BadRecord("bad_baseline", f"baselines are {record.baseline.tolist()}")
