"""Find the recordings that lie below a folder, whatever their format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ecg_assets.errors import SchemaError
from ecg_assets.sources.folder_labels import LABELS_FILE

_ARRAYS = (".npy", ".csv", ".mat")
_BESIDE_HEADER = (".hea", ".dat", ".mat")


def find_recordings(root: Path) -> dict[str, str]:
    """Find all recordings below the root: path without extension to path, sorted.

    A WFDB record's path has no extension, that of an array (.npy, .csv, .mat) has.

    Raises
    ------
    SchemaError
        When two files would be one recording, as ``a.npy`` and ``a.csv``.
    """
    files = _list_files(root)
    headers = {name.removesuffix(".hea") for name in files if name.endswith(".hea")}
    found = {stem: [stem] for stem in headers}
    for name in files:
        stem, extension = os.path.splitext(name)  # noqa: PTH122
        if extension not in _ARRAYS or (extension == ".mat" and stem in headers):
            continue
        if name != LABELS_FILE:
            found.setdefault(stem, []).append(name)
    twice = sorted(stem for stem, names in found.items() if len(names) > 1)
    if twice:
        names = [f"{name}.hea" if name == twice[0] else name for name in found[twice[0]]]
        raise SchemaError(
            f"{len(twice)} recordings are there in two formats, first {' and '.join(names)}. "
            "Names without extension must be unique below ECG_RAW_ROOT: remove one."
        )
    return {stem: names[0] for stem, names in sorted(found.items())}


def resolve_file(file: str, recordings: Mapping[str, str]) -> str | None:
    """Find the recording that labels.csv means, named with or without extension.

    >>> recordings = {"a/1": "a/1.npy", "b": "b"}
    >>> [resolve_file(name, recordings) for name in ("a/1", "a/1.npy", "b.dat", "a/1.csv")]
    ['a/1.npy', 'a/1.npy', 'b', None]
    """
    if file in recordings:
        return recordings[file]
    stem, extension = os.path.splitext(file)  # noqa: PTH122
    path = recordings.get(stem)
    is_meant = path == file or (path == stem and extension in _BESIDE_HEADER)
    return path if is_meant else None


def _list_files(root: Path) -> list[str]:
    """Paths below the root of all files but hidden ones, which macOS leaves beside others."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(folder).relative_to(root)
        found += [(below / name).as_posix() for name in files if not name.startswith(".")]
    return sorted(found)
