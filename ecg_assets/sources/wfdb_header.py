"""WFDB headers, parsed in one pass.

Source of the format: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ecg_assets.errors import BadRecord
from ecg_assets.sources.inside_root import require_inside_root
from ecg_assets.sources.lead_names import normalize_lead_name

_MOST_BYTES = 1 << 20
_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN = re.compile(
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)?(?:\(([-+]?\d+)\))?(?:/(\S+))?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_GAIN = 200.0
_DEFAULT_SAMPLE_RATE = 250.0
# Units in one mV. The micro sign has two code points, U+00B5 and U+03BC.
_PER_MV = {"mv": 1.0, "uv": 1e3, "\u00b5v": 1e3, "\u03bcv": 1e3, "v": 1e-3, "nv": 1e6}


class SignalLine(NamedTuple):
    """One lead's line of a header.

    `gain` is in ADC units per mV, NaN where `units` is no voltage; `baseline` is the ADC
    value of 0 mV; `checksum` is None where the header has none; `lead` is a standard name.
    """

    file_name: str
    format: str
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    units: str
    checksum: int | None
    lead: str


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
    file = path if path.suffix == ".hea" else path.with_name(path.name + ".hea")
    require_inside_root(file, root)
    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadRecord("missing_file", f"{file.name} does not exist") from error
    except OSError as error:
        raise BadRecord("unreadable", f"{file.name}: {error.strerror}") from error
    try:
        return _parse(content)
    except (ValueError, IndexError, OverflowError) as error:
        raise BadRecord("bad_header", f"{file.name}: {error}") from error


def _parse(content: bytes) -> Header:
    if len(content) > _MOST_BYTES:
        raise ValueError("it is larger than 1 MiB")
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
        signals=() if slash else tuple(_parse_signal(line) for line in following),
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


def _parse_signal(line: str) -> SignalLine:
    # The lead's name is the rest of the line, spaces included.
    fields = line.split(maxsplit=8)
    if len(fields) < 2:
        raise ValueError("a signal's line has no format")
    file_format, samples_per_frame, skew, byte_offset = _parse_format(fields[1])
    gain, baseline, units = _parse_gain(fields[2]) if len(fields) > 2 else _parse_gain("")
    if baseline is None:
        baseline = _integer(fields[4]) if len(fields) > 4 else 0
    return SignalLine(
        file_name=fields[0],
        format=file_format,
        samples_per_frame=samples_per_frame,
        skew=skew,
        byte_offset=byte_offset,
        gain=gain,
        baseline=baseline,
        units=units,
        checksum=_integer(fields[6]) if len(fields) > 6 else None,
        lead=normalize_lead_name(fields[8]) if len(fields) > 8 else "",
    )


def _parse_segment(line: str) -> SegmentLine:
    fields = line.split()
    if len(fields) < 2:
        raise ValueError("a segment's line has no length")
    return SegmentLine(fields[0], _count(fields[1]))


@lru_cache(maxsize=256)
def _parse_format(text: str) -> tuple[str, int, int, int]:
    """Format, samples a frame, skew and byte offset: ``16x1+24``."""
    found = _FORMAT.fullmatch(text)
    if not found:
        raise ValueError(f"format {text[:40]!r} is not one of WFDB's")
    return found[1], int(found[2] or 1) or 1, int(found[3] or 0), int(found[4] or 0)


@lru_cache(maxsize=256)
def _parse_gain(text: str) -> tuple[float, int | None, str]:
    """Gain in ADC units per mV, baseline where stated, and unit: ``200.0(0)/mV``."""
    found = _GAIN.fullmatch(text)
    if not found:
        raise ValueError(f"gain {text[:40]!r} is not a number")
    units = found[3] or "mV"
    # 0 stands for "not calibrated", which WFDB reads as its default.
    gain = (float(found[1] or 0) or _DEFAULT_GAIN) * _PER_MV.get(units.lower(), math.nan)
    if math.isinf(gain):
        raise ValueError(f"gain {text[:40]!r} is not finite")
    return gain, _integer(found[2]) if found[2] else None, units


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


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) >= 1 << 31:
        raise ValueError(f"{text[:40]!r} does not fit 32 bits")
    return value
