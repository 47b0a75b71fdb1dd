"""Read a recording of any source, by the form of its path."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ecg_assets.errors import BadRecord
from ecg_assets.sources.datasets import ARRAYS, own_endings, recording_readers
from ecg_assets.sources.ecgbench import PREFIX, read_csv_recording
from ecg_assets.sources.file_limits import require_inside_root
from ecg_assets.sources.record import Record
from ecg_assets.sources.wfdb.reader import read_record


@lru_cache(maxsize=1)
def _other_form() -> re.Pattern[str]:
    """Path of a recording that is no WFDB record."""
    arrays, own = (
        "|".join(map(re.escape, forms)) for forms in (ARRAYS, sorted(own_endings() - {*ARRAYS}))
    )
    # Carts of hospitals write .XML, .DCM and .SCP.
    return re.compile(rf"\.(?P<form>{arrays}|(?i:{own}))(?:#(?P<part>[^/]*))?$")


def read_recording(
    path: str | Path, leads: Sequence[str] | None = None, *, root: str | Path | None = None
) -> Record:
    """Read a recording's stored integers.

    Parameters
    ----------
    path
        ``x`` or ``x.hea``: a WFDB record. ``x.npy``, ``x.csv`` or ``x.mat``: an array, with
        what the root's folder.yaml says of it; ``x.npy#250`` has 250 samples per second. A
        ``x.mat`` beside a ``x.hea`` is a WFDB record. Anything else is read as the dataset says
        that has a reader for the file's name, or else for the ending: ``exams_part0.hdf5#123`` is
        exam 123 of CODE-15%.
    leads
        Names of the leads to read, in the order wanted; None for all, in the file's order.
    root
        Folder that all its files must lie in, and where folder.yaml is looked for; None
        allows every path and reads no folder.yaml.

    Raises
    ------
    BadRecord
        As `read_record`, `read_array_file` and the datasets' own readers.
    SettingsError
        When folder.yaml cannot be understood.
    """
    # A string: taking a Path apart would cost more than the search.
    found = _other_form().search(os.fspath(path))
    if found is None:
        return read_record(path, leads, root=root)
    file = Path(os.fspath(path)[: found.end("form")])
    if found["form"] == "mat" and file.with_suffix(".hea").is_file():
        return read_record(file.with_suffix(""), leads, root=root)
    require_inside_root(file, root)
    if (found["part"] or "").startswith(PREFIX):
        return read_csv_recording(file, found["part"], leads)
    readers = recording_readers()
    reader = readers.get(file.name) or readers.get(found["form"].lower())
    if reader is not None:
        return reader(file, found["part"] or "", leads)
    if found["form"] not in ARRAYS:
        raise BadRecord("unreadable", f"{file.name[:80]} is no file that a dataset here has")
    # Loaded here: a WFDB record needs neither scipy nor YAML.
    from ecg_assets.sources.folder.arrays import read_array_file
    from ecg_assets.sources.folder.settings import FolderSettings, load_folder_settings

    settings = load_folder_settings(Path(root)) if root else FolderSettings()
    return read_array_file(file, leads, settings, _parse_rate(found["part"]))


def _parse_rate(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise BadRecord("bad_sample_rate", f"{text!r} is no number of samples a second") from None
