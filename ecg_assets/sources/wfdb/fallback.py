"""Recordings that are not one 16-bit file, decoded by `wfdb`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.file_limits import MOST_DECODED_VALUES, require_plain_name
from ecg_assets.sources.reader_process import call_in_child
from ecg_assets.sources.record import Record
from ecg_assets.sources.wfdb.files import (
    FLAC,
    NO_FILE,
    common_frame,
    count_frames,
    find_leads,
    make_record,
    narrow,
    require_checksum,
    require_files,
    require_signal_groups,
)
from ecg_assets.sources.wfdb.header import Header, SignalLine, read_header

# The most negative value of a format marks a missing sample; format 8 holds differences.
_BITS = {
    **{"80": 8, "508": 8, "310": 10, "311": 10, "212": 12, "16": 16, "61": 16, "160": 16},
    **{"516": 16, "24": 24, "524": 24, "32": 32, "8": 32},
}


def read_with_wfdb(
    path: str | Path, header: Header, columns: list[int], root: str | Path | None
) -> Record:
    """Decode leads of one segment by `wfdb`, after checking what it would open and allocate.

    Raises
    ------
    BadRecord
        As `read_record`.
    """
    lines = [header.signals[column] for column in columns]
    folder = Path(path).parent
    require_signal_groups(header)
    require_files(folder, header, {line.file_name for line in lines}, root)
    n_frames = count_frames(folder, header)
    frame = sum(line.samples_per_frame for line in header.signals)
    if n_frames * frame > MOST_DECODED_VALUES:
        raise BadRecord(
            "unreadable",
            f"it announces {n_frames} frames of {frame} samples; {MOST_DECODED_VALUES} samples "
            "are read",
        )
    n_per_frame = common_frame(lines)
    # libsndfile, which reads FLAC, is written in C, as the readers are that crash on damaged files.
    is_flac = any(line.format in FLAC for line in header.signals)
    samples = (
        call_in_child(_decode, folder, header, columns, n_frames)
        if is_flac
        else _decode(folder, header, columns, n_frames)
    )
    if not any(line.skew for line in header.signals):
        for line, values in zip(lines, samples, strict=True):
            require_checksum(line, values)
    signal = np.array(samples, dtype=np.int32)
    for row, line in zip(signal, lines, strict=True):
        row[row == -(1 << (_BITS[line.format] - 1))] = np.iinfo(np.int32).min
    return make_record(narrow(signal), lines, header.sample_rate * n_per_frame)


def _decode(
    folder: Path, header: Header, columns: list[int], n_frames: int
) -> list[NDArray[np.int32]]:
    """Read the samples of each lead, several a frame where the lead has them."""
    # wfdb takes 0.7 s to import, and most datasets never need it.
    import wfdb

    # Not wfdb.rdrecord: it parses the header once more, refuses dates and names that mean nothing
    # for the samples, and takes twenty times as long. Tests compare the two. Looked up here, so
    # that a version of wfdb without it is no fault of the recordings.
    read_segment = wfdb.io._signal._rd_segment
    lines = header.signals
    try:
        found = read_segment(
            file_name=[line.file_name for line in lines],
            dir_name=str(folder.absolute()),
            pn_dir=None,
            fmt=[line.format for line in lines],
            n_sig=len(lines),
            sig_len=n_frames,
            byte_offset=[line.byte_offset for line in lines],
            samps_per_frame=[line.samples_per_frame for line in lines],
            skew=[line.skew for line in lines],
            init_value=[line.initial for line in lines],
            sampfrom=0,
            sampto=n_frames,
            channels=columns,
            ignore_skew=False,
        )
        return [np.asarray(values, dtype=np.int32) for values in found]
    except Exception as error:  # it raises whatever damaged samples make of it
        # Its message may name a path of this machine.
        reason = str(error).replace(str(folder.absolute()), "")[:200]
        raise BadRecord("unreadable", f"wfdb: {type(error).__name__}: {reason}") from error


# Multi-segment WFDB records: their segments one after the other, lead by lead.


ReadColumns = Callable[[Path, Header, list[int], str | Path | None], Record]
"""Reads the leads at some places of a header of one segment: path, header, places, root."""

_GAP = "~"
_MISSING = np.iinfo(np.int32).min


def read_segments(
    path: str | Path,
    header: Header,
    leads: Sequence[str] | None,
    root: str | Path | None,
    read_columns: ReadColumns,
) -> Record:
    """Read leads of a multi-segment record; in gaps, and where a segment lacks one, it is missing.

    A lead is found by its name in each segment, whatever its place there. Only a record of
    variable layout, whose first segment has no samples and names all leads, may have segments
    that lack one (https://physionet.org/physiotools/wag/header-5.htm).

    Raises
    ------
    BadRecord
        As `read_record`; ``segments_differ`` when a segment has other leads, another sample
        rate or another length than the record says.
    """
    folder, n_frames = Path(path).parent, _count_frames(header)
    segments = _read_headers(folder, header, root)
    lines = _unite(segments.values())
    places = _find_places(header, segments)
    columns = find_leads(lines, leads)
    chosen = [lines[column] for column in columns]
    held = [line for line in chosen if line.file_name != NO_FILE]
    if leads is not None and len(held) < len(chosen):
        raise BadRecord("missing_lead", "a lead of the layout is in no segment")
    n_per_frame = common_frame(held)
    _require_bounded(n_frames * n_per_frame * len(columns))
    signal = np.full((len(columns), n_frames, n_per_frame), _MISSING, dtype=np.int32)
    for name, starts in _find_starts(header).items():
        rows = [row for row, column in enumerate(columns) if column in places[name]]
        if rows:
            at = [places[name][columns[row]] for row in rows]
            record = read_columns(folder / name, segments[name], at, root)
            frames = _widen(record.signal).reshape(len(rows), -1, n_per_frame)
            _put(frames, signal, rows, starts, name)
    narrowed = narrow(signal.reshape(len(columns), n_frames * n_per_frame))
    return make_record(narrowed, chosen, header.sample_rate * n_per_frame)


def _put(
    frames: NDArray[np.int32],
    signal: NDArray[np.int32],
    rows: list[int],
    starts: list[tuple[int, int]],
    segment: str,
) -> None:
    """Put the frames of a segment, ``(lead, frame, sample)``, wherever the record uses it."""
    for start, length in starts:
        if frames.shape[1] != length:
            raise _differs(segment, f"{frames.shape[1]} samples, not {length}")
        signal[rows, start : start + length] = frames


def _count_frames(header: Header) -> int:
    """Count the frames of all segments.

    Raises
    ------
    BadRecord
        ``unreadable`` when they are more than are read, ``bad_header`` when the record's first
        line says another number.
    """
    n_frames = sum(segment.n_samples for segment in header.segments)
    _require_bounded(max(n_frames, header.n_samples or 0) * max(header.n_signals, 1))
    if header.n_samples not in {None, n_frames}:
        raise BadRecord(
            "bad_header", f"its segments have {n_frames} samples, its first line {header.n_samples}"
        )
    return n_frames


def _require_bounded(n_values: int) -> None:
    """Refuse lengths that no file's size bounds, as that of a gap."""
    if n_values > MOST_DECODED_VALUES:
        raise BadRecord(
            "unreadable", f"it announces {n_values} samples; {MOST_DECODED_VALUES} are read"
        )


def _read_headers(folder: Path, header: Header, root: str | Path | None) -> dict[str, Header]:
    """Read the headers of all segments that are no gaps, each once, in their order."""
    headers = {}
    for name in dict.fromkeys(s.name for s in header.segments if s.name != _GAP):
        require_plain_name(name)
        segment = read_header(folder / name, root=root)
        if segment.segments:
            raise BadRecord("unreadable", f"segment {name} consists of segments itself")
        headers[name] = segment
    if not headers:
        raise BadRecord("bad_header", "all segments are gaps")
    return headers


def _unite(headers: Iterable[Header]) -> list[SignalLine]:
    """One line a lead, in the order of the layout (the first segment).

    Raises
    ------
    BadRecord
        ``unreadable`` when a lead is calibrated differently in two segments: their integers
        cannot stand in one row.
    """
    headers = list(headers)
    known: dict[str, SignalLine] = {}
    for header in headers:
        for line in header.signals:
            first = known.setdefault(line.lead, line) if line.file_name != NO_FILE else line
            if _calibration(first) != _calibration(line):
                raise BadRecord(
                    "unreadable", f"segments differ in gain, baseline or format of lead {line.lead}"
                )
    return [known.get(line.lead, line) for line in headers[0].signals]


def _find_places(header: Header, segments: dict[str, Header]) -> dict[str, dict[int, int]]:
    """Find where each segment has the leads of the layout: place in the layout to place there."""
    layout = [line.lead for line in next(iter(segments.values())).signals]
    is_variable = header.segments[0].n_samples == 0
    stated = {segment.name: segment.n_samples for segment in header.segments}
    places = {}
    for name, segment in segments.items():
        names = [line.lead for line in segment.signals]
        if segment.sample_rate != header.sample_rate:
            raise _differs(name, f"{segment.sample_rate:g} Hz, not {header.sample_rate:g}")
        if segment.n_samples not in {None, stated[name]}:
            raise _differs(name, f"{segment.n_samples} samples, not {stated[name]}")
        if names != layout:
            _require_same_leads(name, names, layout, is_variable)
        places[name] = {
            layout.index(line.lead) if names != layout else at: at
            for at, line in enumerate(segment.signals)
            if line.file_name != NO_FILE
        }
    return places


def _require_same_leads(
    segment: str, names: list[str], layout: list[str], is_variable: bool
) -> None:
    """Refuse leads that the layout lacks, lacks of a fixed layout, and names that stand twice."""
    is_clear = len(set(names)) == len(names) and len(set(layout)) == len(layout)
    is_part = set(names) <= set(layout) and (is_variable or len(names) == len(layout))
    if not (is_clear and is_part):
        raise _differs(segment, f"the leads {', '.join(names)}, not {', '.join(layout)}"[:150])


def _find_starts(header: Header) -> dict[str, list[tuple[int, int]]]:
    """Find the first frame and the length of each use of a segment that has samples."""
    starts: dict[str, list[tuple[int, int]]] = {}
    at = 0
    for segment in header.segments:
        if segment.name != _GAP and segment.n_samples:
            starts.setdefault(segment.name, []).append((at, segment.n_samples))
        at += segment.n_samples
    return starts


def _widen(signal: NDArray[np.int16] | NDArray[np.int32]) -> NDArray[np.int32]:
    """Make it int32, keeping its lowest value for missing samples."""
    wide: NDArray[np.int32] = signal.astype(np.int32)
    wide[signal == np.iinfo(signal.dtype).min] = _MISSING
    return wide


def _calibration(line: SignalLine) -> tuple[object, ...]:
    # As text, because a gain that is NaN would not equal itself.
    return str(line.gain), line.baseline, line.units, line.format, line.samples_per_frame


def _differs(segment: str, what: str) -> BadRecord:
    return BadRecord("segments_differ", f"segment {segment} has {what}")
