"""Headers of a multi-segment WFDB record."""

from __future__ import annotations

from pathlib import Path

from ecg_assets.errors import BadRecord
from ecg_assets.sources.inside_root import require_plain_name
from ecg_assets.sources.wfdb_files import NO_FILE
from ecg_assets.sources.wfdb_header import Header, read_header
from ecg_assets.sources.wfdb_signal_line import SignalLine


def read_segment_headers(folder: Path, header: Header, root: Path | None) -> list[Header]:
    """Read the headers of all segments that are no gaps, each once, in their order.

    Raises
    ------
    BadRecord
        As `read_header`, and ``unreadable`` when a segment consists of segments.
    """
    names = dict.fromkeys(segment.name for segment in header.segments if segment.name != "~")
    headers = []
    for name in names:
        require_plain_name(name)
        segment = read_header(folder / name, root=root)
        if segment.segments:
            raise BadRecord("unreadable", f"segment {name} consists of segments itself")
        headers.append(segment)
    if not headers:
        raise BadRecord("bad_header", "all segments are gaps")
    return headers


def unite_segments(headers: list[Header]) -> list[SignalLine]:
    """One line a lead, in the order of the layout (the first segment).

    Raises
    ------
    BadRecord
        ``unreadable`` when a lead is calibrated differently in two segments: their integers
        cannot stand in one row.
    """
    known: dict[str, SignalLine] = {}
    for header in headers:
        for line in header.signals:
            first = known.setdefault(line.lead, line) if line.file_name != NO_FILE else line
            if _calibration(first) != _calibration(line):
                raise BadRecord(
                    "unreadable", f"segments differ in gain, baseline or format of lead {line.lead}"
                )
    return [known.get(line.lead, line) for line in headers[0].signals]


def _calibration(line: SignalLine) -> tuple[object, ...]:
    # As text, because a gain that is NaN would not equal itself.
    return str(line.gain), line.baseline, line.units, line.format, line.samples_per_frame
