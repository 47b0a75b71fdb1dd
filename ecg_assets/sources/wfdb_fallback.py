"""Recordings that are not one 16-bit file, through `wfdb`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.record import Record
from ecg_assets.sources.wfdb_files import FLAC, require_files
from ecg_assets.sources.wfdb_header import Header
from ecg_assets.sources.wfdb_leads import find_leads, make_record, require_checksum
from ecg_assets.sources.wfdb_segments import read_segment_headers, unite_segments
from ecg_assets.sources.wfdb_signal_line import SignalLine

_MOST_SAMPLES = 1 << 26
# The most negative value of a format marks a missing sample; format 8 holds differences.
_BITS = {
    **{"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "16": 16, "61": 16, "160": 16},
    **{"516": 16, "24": 24, "524": 24, "32": 32, "8": 32},
}


def read_with_wfdb(
    path: Path, header: Header, leads: Sequence[str] | None, root: Path | None
) -> Record:
    """Read leads with `wfdb.rdrecord`, after checking what it would open and allocate.

    Raises
    ------
    BadRecord
        As `read_record`.
    """
    if header.segments:
        return _read_segments(path, header, leads, root)
    columns = find_leads(header.signals, leads)
    lines = [header.signals[column] for column in columns]
    require_files(path.parent, header, {line.file_name for line in lines}, root)
    _require_bounded(header)
    samples = _rdrecord(path, columns, lines)
    if not any(line.skew for line in header.signals):
        for line, values in zip(lines, samples, strict=True):
            require_checksum(line, values)
    return _to_record(samples, lines, header)


def _read_segments(
    path: Path, header: Header, leads: Sequence[str] | None, root: Path | None
) -> Record:
    _require_bounded(header)
    segments = read_segment_headers(path.parent, header, root)
    for segment in segments:
        _require_bounded(segment)
        require_files(path.parent, segment, {s.file_name for s in segment.signals}, root)
    lines = unite_segments(segments)
    columns = find_leads(lines, leads)
    samples = _rdrecord(path, None, lines)
    return _to_record([samples[c] for c in columns], [lines[c] for c in columns], header)


def _to_record(
    samples: Sequence[NDArray[np.int32]], lines: Sequence[SignalLine], header: Header
) -> Record:
    rows = [_mean_of_frames(line, values) for line, values in zip(lines, samples, strict=True)]
    return make_record(_narrow(np.array(rows, dtype=np.int32)), lines, header.sample_rate)


def _require_bounded(header: Header) -> None:
    """Refuse lengths that no file's size bounds: gaps between segments, FLAC's ratio."""
    if header.signals and not any(line.format in FLAC for line in header.signals):
        return
    frame = sum(line.samples_per_frame for line in header.signals) or header.n_signals
    announced = [header.n_samples or 0, sum(segment.n_samples for segment in header.segments)]
    if max(announced) * frame > _MOST_SAMPLES:
        raise BadRecord(
            "unreadable",
            f"it announces {max(announced)} samples; {_MOST_SAMPLES // frame} are read",
        )


def _rdrecord(
    path: Path, columns: list[int] | None, lines: Sequence[SignalLine]
) -> list[NDArray[np.int32]]:
    """Read the samples of each lead, several a frame where the lead has them."""
    # wfdb takes 0.7 s to import, and most datasets never need it.
    import wfdb

    name = (path.with_suffix("") if path.suffix == ".hea" else path).absolute()
    # Only where needed: wfdb 4.3 fails on format 61 when it keeps the samples of a frame apart.
    is_plain = all(line.samples_per_frame == 1 for line in lines)
    try:
        found: Any = wfdb.rdrecord(
            str(name), channels=columns, physical=False, smooth_frames=is_plain, return_res=32
        )
        samples = found.d_signal.T if is_plain else found.e_d_signal
        return [np.asarray(values, dtype=np.int32) for values in samples]
    except Exception as error:  # it raises whatever its parsing meets
        # Its message may name a path of this machine.
        reason = str(error).replace(str(name.parent), "")[:200]
        raise BadRecord("unreadable", f"wfdb: {type(error).__name__}: {reason}") from error


def _mean_of_frames(line: SignalLine, samples: NDArray[np.int32]) -> NDArray[np.int32]:
    """One sample a frame, truncated to an integer as wfdb does; int32's lowest is missing."""
    frames = samples.reshape(-1, line.samples_per_frame)
    mean: NDArray[np.int32] = np.trunc(frames.mean(axis=1)).astype(np.int32)
    missing = (frames == -(1 << (_BITS[line.format] - 1))).any(axis=1)
    mean[missing] = np.iinfo(np.int32).min
    return mean


def _narrow(signal: NDArray[np.int32]) -> NDArray[np.int16] | NDArray[np.int32]:
    """Make it int16 where all samples fit, keeping its lowest value for the missing ones."""
    missing = signal == np.iinfo(np.int32).min
    present = signal[~missing]
    lowest = np.iinfo(np.int16).min
    if len(present) and (present.min() <= lowest or present.max() > np.iinfo(np.int16).max):
        return signal
    return np.where(missing, lowest, signal).astype(np.int16)
