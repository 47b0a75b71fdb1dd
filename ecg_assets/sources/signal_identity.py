"""Tell copies of one recording by what it holds, whatever its name."""

from __future__ import annotations

from pathlib import Path

from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.sources.wfdb_header import Header

_ENOUGH_LEADS = 8
"""Leads whose checksums tell a recording: 16 bits each, 8 of 12 leads being independent."""


def identify_signal(header: Header, folder: Path) -> str | None:
    """Fingerprint of the samples that a header describes; equal for copies in other files.

    With eight leads or more it is made of their checksums, so that no sample is read;
    otherwise of the signal files' bytes.

    Parameters
    ----------
    header
        Header of one segment.
    folder
        Folder of the signal files.

    Returns
    -------
    str or None
        None where the header has too few checksums and a signal file is not there.
    """
    checksums = {signal.lead: signal.checksum for signal in header.signals}
    # A writer that computes no checksums leaves them out, or writes 0 in each.
    is_stated = None not in checksums.values() and any(checksums.values())
    if is_stated and len(checksums) >= _ENOUGH_LEADS:
        return fingerprint_json([header.sample_rate, header.n_samples, checksums])
    files = [folder / name for name in sorted({signal.file_name for signal in header.signals})]
    if not files or not all(file.is_file() for file in files):
        return None
    return fingerprint_json([fingerprint_file(file) for file in files])
