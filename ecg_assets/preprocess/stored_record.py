"""One recording as a shard can store it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources import Record, read_record

_INT16 = np.iinfo(np.int16)
_INT32 = np.iinfo(np.int32)


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
    try:
        record = read_record(root / path, leads, root=root)
    except OSError as error:
        # str(error) would name a path of this machine.
        raise BadRecord("unreadable_file", error.strerror or type(error).__name__) from error
    _require_storable(record)
    return StoredRecord(_as_int16(record), record.gain, record.baseline, record.sample_rate)


def _as_int16(record: Record) -> NDArray[np.int16]:
    if record.signal.dtype == np.int16:
        return record.signal.astype(np.int16, copy=False)
    lowest, highest = int(record.signal.min()), int(record.signal.max())
    if lowest < _INT16.min or highest > _INT16.max:
        raise BadRecord(
            "samples_exceed_int16",
            f"samples run from {lowest} to {highest}; a shard holds {_INT16.min} to {_INT16.max}",
        )
    return record.signal.astype(np.int16)


def _require_storable(record: Record) -> None:
    """Refuse what a shard, or standardizing (a negative gain flips a lead), would spoil."""
    if record.signal.shape[1] == 0:
        raise BadRecord("no_samples", "the recording has no samples")
    if not (math.isfinite(record.sample_rate) and record.sample_rate > 0):
        raise BadRecord("bad_sample_rate", f"sample rate is {record.sample_rate} Hz")
    if not all(0 < gain < math.inf for gain in record.gain.tolist()):
        raise BadRecord("bad_gain", f"gains are {record.gain.tolist()}; each must be above 0")
    if any(abs(baseline) > _INT32.max for baseline in record.baseline.tolist()):
        raise BadRecord("bad_baseline", f"baselines are {record.baseline.tolist()}")
