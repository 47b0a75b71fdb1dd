"""The signal files that a header names: where they lie, and whether they are long enough."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.file_limits import (
    require_inside_root,
    require_plain_name,
    require_regular_file,
)
from ecg_assets.sources.record import Record
from ecg_assets.sources.wfdb.header import Header, SignalLine, normalize_lead_name

NO_FILE = "~"
"""The file name of a signal that a multi-segment record announces in its layout."""

FLAC = frozenset({"508", "516", "524"})
"""Formats whose files are compressed: their size says nothing about the number of samples."""

# https://physionet.org/physiotools/wag/signal-5.htm
_BYTES_PER_SAMPLE = {
    **{"8": Fraction(1), "80": Fraction(1), "16": Fraction(2), "61": Fraction(2)},
    **{"160": Fraction(2), "24": Fraction(3), "32": Fraction(4), "212": Fraction(3, 2)},
    **{"310": Fraction(4, 3), "311": Fraction(4, 3)},
    **dict.fromkeys(FLAC, Fraction(0)),
}


def require_signal_groups(header: Header) -> None:
    """Refuse a header that says of one file's leads what cannot be: they are decoded together.

    Raises
    ------
    BadRecord
        ``bad_header`` when a file's leads do not follow one another, or differ in format or
        byte offset.
    """
    lines = header.signals
    files = [line.file_name for line in lines]
    n_groups = sum(name != before for name, before in zip(files, [None, *files], strict=False))
    forms = {(line.file_name, line.format, line.byte_offset) for line in lines}
    if not len(set(files)) == n_groups == len(forms):
        raise BadRecord(
            "bad_header",
            "leads of one file must follow one another and have one format and byte offset",
        )


def count_frames(folder: Path, header: Header) -> int:
    """Count the frames of a record; where its header leaves it open, out of its first file's size.

    Raises
    ------
    BadRecord
        ``bad_header`` when a compressed record has no length, which its size does not tell;
        ``truncated_file`` when there is no frame.
    """
    if header.n_samples is not None:
        return header.n_samples
    first = header.signals[0]
    lines = [line for line in header.signals if line.file_name == first.file_name]
    frame = _frame_bytes(lines)
    if not frame:
        raise BadRecord("bad_header", "a compressed record must say its number of samples")
    n_bytes = require_regular_file(folder / first.file_name) - first.byte_offset
    n_frames = math.floor(n_bytes / frame)
    if n_frames < 1:
        raise BadRecord("truncated_file", f"{first.file_name} holds no whole frame")
    return n_frames


def require_files(
    folder: Path, header: Header, names: Collection[str], root: str | Path | None
) -> None:
    """Check the named signal files of a single-segment header before anything reads them.

    Raises
    ------
    BadRecord
        ``outside_root``, ``missing_file``, ``truncated_file``, or ``unreadable`` when a
        format is unknown.
    """
    for name in sorted(set(names) - {NO_FILE}):
        require_plain_name(name)
        require_inside_root(folder / name, root)
        n_bytes = require_regular_file(folder / name)
        needed = _bytes_needed(header, [s for s in header.signals if s.file_name == name])
        if n_bytes < needed:
            raise BadRecord(
                "truncated_file", f"{name} holds {n_bytes} bytes of {needed} that its header says"
            )


def _bytes_needed(header: Header, lines: list[SignalLine]) -> int:
    """Count the bytes that a file must have at least."""
    frame = _frame_bytes(lines)
    # In a FLAC stream the offset counts samples.
    offset = lines[0].byte_offset if frame else 0
    return offset + math.ceil((header.n_samples or 1) * frame)


def _frame_bytes(lines: list[SignalLine]) -> Fraction:
    """Bytes of a frame of these leads, 0 where they are compressed."""
    unknown = {line.format for line in lines} - set(_BYTES_PER_SAMPLE)
    if unknown:
        raise BadRecord("unreadable", f"signal format {min(unknown)[:40]} is not known")
    frames = (line.samples_per_frame * _BYTES_PER_SAMPLE[line.format] for line in lines)
    return sum(frames, Fraction(0))


# The leads of a header: choosing them by name, their checksums, and a record made of them.


def find_leads(lines: Sequence[SignalLine], leads: Sequence[str] | None) -> list[int]:
    """Find the positions of leads by name; None stands for all.

    Raises
    ------
    BadRecord
        ``missing_lead``; ``bad_header`` when two leads have the name asked for;
        ``unknown_unit`` when a lead asked for is not in volts or parts of them.
    """
    if leads is None:
        return list(range(len(lines)))
    names = [line.lead for line in lines]
    wanted = [normalize_lead_name(lead) for lead in leads]
    missing = [lead for lead in wanted if lead not in names]
    if missing:
        raise BadRecord("missing_lead", f"{', '.join(missing)} not among {', '.join(names)}")
    for lead in wanted:
        if names.count(lead) > 1:
            raise BadRecord("bad_header", f"{names.count(lead)} leads are named {lead}")
        line = lines[names.index(lead)]
        if math.isnan(line.gain):
            raise BadRecord("unknown_unit", f"lead {lead} is in {line.units[:40]}, not in mV")
    return [names.index(lead) for lead in wanted]


def require_checksum(line: SignalLine, samples: NDArray[np.signedinteger]) -> None:
    """Compare all samples of a lead with the header's checksum, where it has one.

    A checksum is the sum modulo 65,536; files have it as 0 to 65,535 or as a signed number.

    Raises
    ------
    BadRecord
        ``checksum_mismatch``.
    """
    if line.checksum is None:
        return
    stated, found = line.checksum & 0xFFFF, int(samples.sum(dtype=np.int64)) & 0xFFFF
    if stated != found:
        raise BadRecord(
            "checksum_mismatch", f"lead {line.lead}: header says {stated}, samples give {found}"
        )


def common_frame(lines: Sequence[SignalLine]) -> int:
    """Give the samples that each of these leads has in a frame.

    A frame's samples are one after the other in time: a lead with eight in a frame is sampled
    at eight times the rate of the frames.

    Raises
    ------
    BadRecord
        ``mixed_sample_rates`` when the leads differ: they have no common sample rate.
    """
    numbers = {line.samples_per_frame for line in lines} or {1}
    if len(numbers) > 1:
        stated = ", ".join(f"{line.lead} {line.samples_per_frame}" for line in lines)
        raise BadRecord(
            "mixed_sample_rates",
            f"leads differ in samples a frame ({stated[:120]}); read those of one rate by name",
        )
    return numbers.pop()


def narrow(signal: NDArray[np.int32]) -> NDArray[np.int16] | NDArray[np.int32]:
    """Make it int16 where all samples fit, keeping its lowest value for the missing ones."""
    missing = signal == np.iinfo(np.int32).min
    present = signal[~missing]
    lowest = np.iinfo(np.int16).min
    if len(present) and (present.min() <= lowest or present.max() > np.iinfo(np.int16).max):
        return signal
    return np.where(missing, lowest, signal).astype(np.int16)


def make_record(
    signal: NDArray[np.int16] | NDArray[np.int32], lines: Sequence[SignalLine], sample_rate: float
) -> Record:
    """Combine samples ``(lead, sample)`` with their header's lines."""
    return Record(
        signal=signal,
        gain=np.array([line.gain for line in lines], dtype=np.float64),
        baseline=np.array([line.baseline for line in lines], dtype=np.int64),
        units=tuple(line.units for line in lines),
        sample_rate=sample_rate,
        lead_names=tuple(line.lead for line in lines),
    )
