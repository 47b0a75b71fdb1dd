"""The signal files that a header names: where they lie, and whether they are long enough."""

from __future__ import annotations

import math
from collections.abc import Collection
from fractions import Fraction
from pathlib import Path

from ecg_assets.errors import BadRecord
from ecg_assets.sources.inside_root import require_inside_root, require_plain_name
from ecg_assets.sources.wfdb_header import Header
from ecg_assets.sources.wfdb_signal_line import SignalLine

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


def require_files(folder: Path, header: Header, names: Collection[str], root: Path | None) -> None:
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
        try:
            n_bytes = (folder / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError) as error:
            raise BadRecord("missing_file", f"{name} does not exist") from error
        except OSError as error:
            raise BadRecord("unreadable", f"{name[:40]}: {error.strerror}") from error
        needed = _bytes_needed(header, [s for s in header.signals if s.file_name == name])
        if n_bytes < needed:
            raise BadRecord(
                "truncated_file", f"{name} holds {n_bytes} bytes of {needed} that its header says"
            )


def _bytes_needed(header: Header, lines: list[SignalLine]) -> int:
    """Count the bytes that a file must have at least."""
    unknown = {line.format for line in lines} - set(_BYTES_PER_SAMPLE)
    if unknown:
        raise BadRecord("unreadable", f"signal format {min(unknown)[:40]} is not known")
    frame = sum(line.samples_per_frame * _BYTES_PER_SAMPLE[line.format] for line in lines)
    # In a FLAC stream the offset counts samples.
    offset = lines[0].byte_offset if frame else 0
    return offset + math.ceil((header.n_samples or 1) * frame)
