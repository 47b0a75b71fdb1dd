"""WFDB headers, parsed in one pass.

Source of the format: https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ecg_assets.errors import BadRecord
from ecg_assets.sources.dataset_tables import canonical_identifier
from ecg_assets.sources.file_limits import open_regular_file, require_inside_root

# Standard lead names for the spellings found in files.


_STANDARD = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_BY_UPPER = {name.upper(): name for name in _STANDARD}
_BY_UPPER |= {"DI": "I", "DII": "II", "DIII": "III"}
# No minus sign before the name: -aVR, as Cabrera's order has it, is another lead than aVR.
_SPELLING = re.compile(r"(?:MDC[_ ])?(?:E[CK]G)?[_ ]*(?:LEAD)?[_ ]*(\w+)", re.IGNORECASE)


@lru_cache(maxsize=1024)
def normalize_lead_name(name: str) -> str:
    """Return the standard spelling of a lead's name; an unknown name comes back stripped.

    >>> [normalize_lead_name(n) for n in ("AVR", "MDC_ECG_LEAD_AVF", "ECG lead II", "v1", "DI")]
    ['aVR', 'aVF', 'II', 'V1', 'I']
    >>> [normalize_lead_name(n) for n in ("-aVR", "MLII", " vx ", "ECG")]
    ['-aVR', 'MLII', 'vx', 'ECG']
    """
    plain = name.strip()
    found = _SPELLING.fullmatch(plain)
    return _BY_UPPER.get(found[1].upper(), plain) if found else plain


# The line of one lead in a WFDB header: ``1.dat 16x1+24 200.0(0)/mV 16 0 -5 1234 0 aVR``.


_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?", re.ASCII)
_GAIN = re.compile(
    r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)?(?:\(([-+]?\d+)\))?(?:/(\S+))?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_GAIN = 200.0
_ABSENT = ["", "", "", "", "0", "0", "0", "0", ""]
"""What stands for the fields of a line that ends early."""
# Units in one mV. The micro sign has two code points, U+00B5 and U+03BC.
_PER_MV = {"mv": 1.0, "uv": 1e3, "\u00b5v": 1e3, "\u03bcv": 1e3, "v": 1e-3, "nv": 1e6}


class SignalLine(NamedTuple):
    """One lead's line of a header.

    `gain` is in ADC units per mV, NaN where `units` is no voltage; `baseline` is the ADC
    value of 0 mV; `checksum` is None where the header has none; `initial` is the first
    sample, read for the formats of differences alone; `lead` is a standard name.
    """

    file_name: str
    checksum: int | None
    initial: int
    format: str
    samples_per_frame: int
    skew: int
    byte_offset: int
    gain: float
    baseline: int
    units: str
    lead: str


def parse_signal_line(line: str) -> SignalLine:
    """Parse one lead's line; what stands behind the gain is optional.

    Raises
    ------
    ValueError
        When a field is not what the format has there.
    """
    # The lead's name is the rest of the line, spaces included.
    fields = line.split(maxsplit=8)
    if len(fields) < 2:
        raise ValueError("a signal's line has no format")
    checksum = _integer(fields[6]) if len(fields) > 6 else None
    fields += _ABSENT[len(fields) :]
    initial = _integer(fields[5]) if fields[1][0] == "8" else 0
    constant = _parse_constant(*fields[1:3], fields[4], fields[8])
    return SignalLine(fields[0], checksum, initial, *constant)


@lru_cache(maxsize=1024)
def _parse_constant(
    file_format: str, gain: str, adc_zero: str, lead: str
) -> tuple[str, int, int, int, float, int, str, str]:
    """Parse what is the same in every recording of a dataset, as `SignalLine` has it."""
    per_mv, baseline, units = _parse_gain(gain)
    if baseline is None:
        baseline = _integer(adc_zero)
    return (*_parse_format(file_format), per_mv, baseline, units, normalize_lead_name(lead))


def _parse_format(text: str) -> tuple[str, int, int, int]:
    """Format, samples a frame, skew and byte offset: ``16x1+24``."""
    found = _FORMAT.fullmatch(text)
    if not found:
        raise ValueError(f"format {text[:40]!r} is not one of WFDB's")
    return found[1], int(found[2] or 1) or 1, int(found[3] or 0), int(found[4] or 0)


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


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) >= 1 << 31:
        raise ValueError(f"{text[:40]!r} does not fit 32 bits")
    return value


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
        return {name: values[0] for name, values in self.comment_values().items()}

    def comment_values(self) -> dict[str, list[str]]:
        """All values of the comments of the form ``name: value``, by lower-case name."""
        values: dict[str, list[str]] = {}
        for comment in self.comments:
            name, colon, value = comment.partition(":")
            if colon:
                values.setdefault(name.strip().lower(), []).append(value.strip())
        return values


def read_header(path: str | Path, *, root: str | Path | None = None) -> Header:
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
    stream, n_bytes = open_regular_file(file)
    with stream:
        if n_bytes > _MOST_BYTES:
            raise BadRecord("bad_header", f"{name} is larger than {_MOST_BYTES} bytes")
        try:
            content = stream.read(n_bytes)
        except OSError as error:
            raise BadRecord("unreadable", f"{name}: {error.strerror}") from error
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


# What the comments of WFDB headers say of a recording, where they do not contradict.


@dataclass(frozen=True)
class CommentFields:
    """Comments of the form ``name: value`` of one or more headers of a recording.

    Attributes
    ----------
    values
        All values of each name in lower case, in their order.
    """

    values: Mapping[str, Sequence[str]]

    @classmethod
    def join(cls, headers: Iterable[Mapping[str, Sequence[str]]]) -> CommentFields:
        """Take the comments of all headers of a recording together."""
        values: dict[str, list[str]] = {}
        for header in headers:
            for name, found in header.items():
                values.setdefault(name, []).extend(found)
        return cls(values)

    def get(self, name: str) -> str | None:
        """Give the one value of a name; None where there is none, or they contradict.

        >>> CommentFields({"age": ["61", "61.0"], "sex": ["M", "F"]}).get("age")
        '61'
        """
        found = self._distinct(name)
        return next(iter(found.values())) if len(found) == 1 else None

    def contradicts(self, name: str) -> bool:
        """Say whether a name has several values that differ.

        >>> CommentFields({"age": ["61", "61.0"], "sex": ["M", "F"]}).contradicts("sex")
        True
        """
        return len(self._distinct(name)) > 1

    def _distinct(self, name: str) -> dict[str, str]:
        """Values by their spelling without case and ``.0``, empty ones left out."""
        found: dict[str, str] = {}
        for value in self.values.get(name, ()):
            if value:
                found.setdefault(canonical_identifier(value.casefold()), value)
        return found
