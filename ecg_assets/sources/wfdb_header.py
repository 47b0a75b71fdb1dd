"""WFDB headers, parsed in one pass.

Source of the format: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ecg_assets.errors import BadRecord
from ecg_assets.sources.inside_root import require_inside_root
from ecg_assets.sources.wfdb_signal_line import SignalLine, parse_signal_line

_MOST_BYTES = 1 << 20
_DEFAULT_SAMPLE_RATE = 250.0


class SegmentLine(NamedTuple):
    """One segment's line of a multi-segment header; the name ``~`` is a gap."""

    name: str
    n_samples: int


@dataclass(frozen=True)
class Header:
    """A parsed header: it has `signals`, or `segments` if it is a multi-segment record.

    `n_samples` is the length of each lead, None where the header leaves it open.
    `comments` are the lines behind ``#``, stripped.
    """

    name: str
    n_signals: int
    sample_rate: float
    n_samples: int | None
    signals: tuple[SignalLine, ...]
    segments: tuple[SegmentLine, ...]
    comments: tuple[str, ...]

    def comment_fields(self) -> dict[str, str]:
        """Comments of the form ``name: value`` by lower-case name; the first of a name counts."""
        fields: dict[str, str] = {}
        for comment in self.comments:
            name, colon, value = comment.partition(":")
            if colon:
                fields.setdefault(name.strip().lower(), value.strip())
        return fields


def read_header(path: Path, *, root: Path | None = None) -> Header:
    """Read a WFDB header.

    Parameters
    ----------
    path
        Path of the record, with or without the extension .hea.
    root
        Folder that the file must lie in; None allows every path.

    Raises
    ------
    BadRecord
        ``outside_root``, ``missing_file``, ``unreadable`` or ``bad_header``.
    """
    # Strings: the Paths of a recording would take as long as reading it.
    text = os.fspath(path)
    file = text if text.endswith(".hea") else text + ".hea"
    name = file.rpartition(os.sep)[2]
    require_inside_root(file, root)
    try:
        with open(file, "rb", buffering=0) as stream:  # noqa: PTH123
            is_small = os.fstat(stream.fileno()).st_size <= _MOST_BYTES
            content = stream.read() if is_small else b""
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadRecord("missing_file", f"{name} does not exist") from error
    except OSError as error:
        raise BadRecord("unreadable", f"{name}: {error.strerror}") from error
    if not is_small:
        raise BadRecord("bad_header", f"{name} is larger than {_MOST_BYTES} bytes")
    try:
        return _parse(content)
    except ValueError as error:
        raise BadRecord("bad_header", f"{name}: {error}") from error


def _parse(content: bytes) -> Header:
    lines = [line.strip() for line in _decode(content).splitlines()]
    body = [line for line in lines if line and line[0] != "#"]
    first = body[0].split() if body else []
    if len(first) < 2:
        raise ValueError("it has no record line")
    name, slash, n_segments = first[0].partition("/")
    n_signals = _count(first[1])
    n_lines = _count(n_segments) if slash else n_signals
    if n_lines == 0 or len(body) <= n_lines:
        raise ValueError(f"it announces {n_lines} signals or segments and has {len(body) - 1}")
    following = body[1 : n_lines + 1]
    return Header(
        name=name,
        n_signals=n_signals,
        sample_rate=_sample_rate(first[2]) if len(first) > 2 else _DEFAULT_SAMPLE_RATE,
        n_samples=(_count(first[3]) or None) if len(first) > 3 else None,
        signals=() if slash else tuple(parse_signal_line(line) for line in following),
        segments=tuple(_parse_segment(line) for line in following) if slash else (),
        comments=tuple(line[1:].strip() for line in lines if line[:1] == "#"),
    )


def _decode(content: bytes) -> str:
    """Decode UTF-8, else Latin-1: a dropped micro sign would turn µV into V."""
    if b"\0" in content:
        raise ValueError("it is not a text file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _parse_segment(line: str) -> SegmentLine:
    fields = line.split()
    if len(fields) < 2:
        raise ValueError("a segment's line has no length")
    return SegmentLine(fields[0], _count(fields[1]))


def _sample_rate(text: str) -> float:
    """Frames per second, out of ``500`` or ``500/999.56(0)``."""
    rate = float(text.partition("/")[0].partition("(")[0])
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"sample rate {text[:40]!r} is not above 0")
    return rate


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text[:40]!r} is no number of signals, segments or samples")
    return int(text)
