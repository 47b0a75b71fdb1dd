"""Read a WFDB recording: a direct path for the file that everyone has, `wfdb` for the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.file_limits import (
    MOST_VALUES,
    open_regular_file,
    require_inside_root,
    require_plain_name,
)
from ecg_assets.sources.record import Record
from ecg_assets.sources.wfdb.fallback import read_segments, read_with_wfdb
from ecg_assets.sources.wfdb.files import find_leads, make_record, require_checksum
from ecg_assets.sources.wfdb.header import Header, normalize_lead_name, read_header

_BYTES_PER_SAMPLE = 2


def read_record(
    path: str | Path,
    leads: Sequence[str] | None = None,
    *,
    root: str | Path | None = None,
    absent: int | None = None,
) -> Record:
    """Read a recording's stored integers.

    One segment in one 16-bit file (MIMIC-IV-ECG; the Challenge's ``.mat``) is read directly;
    everything else is decoded by `wfdb`. Leads with several samples a frame are read as they
    were sampled, at the frames' rate times the samples of a frame; leads that differ in it
    have no common rate and are refused. Segments are put together by the names of their leads.
    The checksum of each lead read is verified, except where leads are skewed.

    Parameters
    ----------
    path
        Path of the record, with or without the extension .hea.
    leads
        Names of the leads to read, in the order wanted; None for all, in the file's order.
    root
        Folder that all its files must lie in; None allows every path.
    absent
        Stored value of every sample of a lead that the recording lacks, e.g. `MISSING`, which
        makes it NaN; None refuses such a recording. At least one lead must be there.

    Raises
    ------
    BadRecord
        ``outside_root``, ``missing_file``, ``bad_header``, ``missing_lead``,
        ``unknown_unit`` (a lead asked for is no voltage), ``mixed_sample_rates``,
        ``segments_differ``, ``truncated_file``, ``checksum_mismatch``, or ``unreadable``
        for all the rest.
    """
    header = read_header(path, root=root)
    if absent is not None and leads is not None:
        return _read_with_absent(path, header, leads, root, absent)
    if header.segments:
        return read_segments(path, header, leads, root, _read_columns)
    return _read_columns(path, header, find_leads(header.signals, leads), root)


def _read_columns(
    path: str | Path, header: Header, columns: list[int], root: str | Path | None
) -> Record:
    """Read the leads at some places of a header of one segment."""
    if not _is_simple(header):
        return read_with_wfdb(path, header, columns, root)
    lines = [header.signals[column] for column in columns]
    signal = np.ascontiguousarray(_read_frames(path, header, root)[:, columns].T, dtype=np.int16)
    for line, samples in zip(lines, signal, strict=True):
        require_checksum(line, samples)
    return make_record(signal, lines, header.sample_rate)


def _read_with_absent(
    path: str | Path,
    header: Header,
    leads: Sequence[str],
    root: str | Path | None,
    absent: int,
) -> Record:
    """Read the leads that are there; the others get one value, gain 1 and baseline 0."""
    wanted = [normalize_lead_name(lead) for lead in leads]
    held = {line.lead for line in header.signals}
    # Names of a multi-segment record stand in its segments: all of them are read.
    present = [lead for lead in wanted if lead in held] if held else None
    record = read_record(path, present or (None if present is None else wanted), root=root)
    at = [record.lead_names.index(x) if x in record.lead_names else -1 for x in wanted]
    if max(at) < 0:
        raise BadRecord("missing_lead", f"{', '.join(wanted)} not among {record.lead_names}")
    is_absent = np.array(at) < 0
    signal = record.signal[at]
    signal[is_absent] = absent
    return Record(
        signal=signal,
        gain=np.where(is_absent, 1.0, record.gain[at]),
        baseline=np.where(is_absent, 0, record.baseline[at]),
        units=tuple("mV" if place < 0 else record.units[place] for place in at),
        sample_rate=record.sample_rate,
        lead_names=tuple(wanted),
    )


def _is_simple(header: Header) -> bool:
    """Say whether the file is nothing but 16-bit samples, one a lead in turn."""
    return len({(s.file_name, s.byte_offset) for s in header.signals}) == 1 and all(
        s.format == "16" and s.samples_per_frame == 1 and s.skew == 0 for s in header.signals
    )


def _read_frames(path: str | Path, header: Header, root: str | Path | None) -> NDArray[np.int16]:
    """Read all frames, ``(sample, lead)``; the file's size bounds what is allocated."""
    first = header.signals[0]
    require_plain_name(first.file_name)
    # Strings: the Paths of a recording would take as long as reading it.
    file = os.path.join(os.path.dirname(path), first.file_name)  # noqa: PTH118, PTH120
    # Its folder was checked with the header's.
    if os.path.islink(file):  # noqa: PTH114
        require_inside_root(file, root)
    stream, n_bytes = open_regular_file(file)
    with stream:
        n_samples = _count_samples(header, n_bytes - first.byte_offset)
        try:
            # np.fromfile takes twice as long: it opens the file once more.
            samples = np.empty((n_samples, len(header.signals)), dtype="<i2")
            stream.seek(first.byte_offset)
            n_read = stream.readinto(samples.data)
        except OSError as error:
            raise BadRecord("unreadable", f"{first.file_name}: {error.strerror}") from error
    if n_read != samples.nbytes:
        raise BadRecord("truncated_file", f"{first.file_name} shrank while it was read")
    return samples


def _count_samples(header: Header, n_bytes: int) -> int:
    """Count the samples of a lead to read, out of the bytes there are."""
    n_held, n_left_over = divmod(n_bytes, len(header.signals) * _BYTES_PER_SAMPLE)
    n_samples = header.n_samples or n_held
    if n_samples > n_held or n_held <= 0 or (header.n_samples is None and n_left_over):
        raise BadRecord(
            "truncated_file",
            f"the signal file holds {max(n_held, 0)} whole samples a lead; "
            f"its header says {header.n_samples or 'nothing'}",
        )
    if n_samples * len(header.signals) > MOST_VALUES:
        raise BadRecord(
            "unreadable",
            f"it has {n_samples} samples a lead; {MOST_VALUES} of all are read",
        )
    return n_samples
