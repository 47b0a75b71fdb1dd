"""How much of a dataset is on this disk: 90 GB take days, and a part can be used at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pandas as pd
import pyarrow as pa

from ecg_assets.errors import SettingsError
from ecg_assets.lineage import fingerprint_file
from ecg_assets.tables import Column, TableSchema

CHECKSUMS_FILE = "SHA256SUMS.txt"

MIRROR_STATUS = TableSchema(
    "mirror_status",
    (
        Column("shard", pa.string(), "name of the shard"),
        Column("folder", pa.string(), "folder of recordings below the root"),
        Column("records", pa.int64(), "recordings that record_list names there"),
        Column("missing", pa.int64(), "those of them with a file that is not on disk"),
        Column(
            "damaged",
            pa.int64(),
            f"files that differ from {CHECKSUMS_FILE}; empty where not compared",
            nullable=True,
        ),
    ),
)

_FOLDER_LEVELS = 2  # files/p1000


def find_missing_records(root: Path, paths: Iterable[str]) -> list[bool]:
    """Say of each recording whether a file of it is missing.

    A recording is one file, or a header (.hea) with a signal file (.dat or .mat) beside it.

    Parameters
    ----------
    root
        Root of the dataset.
    paths
        Paths of record_list.
    """
    start = os.fspath(root) + os.sep
    # os.path: a Path for each of millions of files would take longer than asking for it.
    exists = os.path.isfile

    def is_there(path: str) -> bool:
        stem = start + path.partition("#")[0]
        if exists(stem + ".hea"):
            return exists(stem + ".dat") or exists(stem + ".mat")
        return exists(stem)

    return [not is_there(path) for path in paths]


def mirror_status(root: Path, records: pd.DataFrame) -> pd.DataFrame:
    """Count what is missing, folder by folder.

    Returns
    -------
    DataFrame
        As `MIRROR_STATUS` declares, with ``damaged`` empty.
    """
    folders = [
        "/".join(PurePosixPath(path).parent.parts[:_FOLDER_LEVELS]) or "."
        for path in records["path"]
    ]
    frame = pd.DataFrame(
        {
            "shard": records["shard"].to_numpy(),
            "folder": folders,
            "missing": find_missing_records(root, records["path"]),
        }
    )
    found = frame.groupby(["shard", "folder"])["missing"].agg(["size", "sum"]).reset_index()
    return found.rename(columns={"size": "records", "sum": "missing"}).assign(damaged=None)


def complete_shards(status: pd.DataFrame) -> list[str]:
    """Name the shards whose recordings are all on disk."""
    missing = status.groupby("shard")["missing"].sum()
    return sorted(missing[missing == 0].index)


def find_damaged_files(
    root: Path,
    folders: Iterable[str],
    *,
    progress: Callable[[int, int], None] | None = None,
    n_threads: int = 4,
) -> list[str]:
    """Compare the files that are on disk with the dataset's own SHA-256 sums.

    Parameters
    ----------
    root
        Root of the dataset, with ``SHA256SUMS.txt``: a sum and a path below the root a line.
    folders
        Folders below the root to look at.
    progress
        Called with the files done and those there are, every thousand.
    n_threads
        Files read at the same time; hashing leaves the interpreter's lock.

    Returns
    -------
    list
        Paths below the root of files whose bytes differ, sorted.

    Raises
    ------
    SettingsError
        When the root holds no such file, or it names no file of these folders.
    """
    file = root / CHECKSUMS_FILE
    if not file.is_file():
        raise SettingsError(
            f"{root} holds no {CHECKSUMS_FILE}, which checksums are compared with. "
            "Download it into that folder, or run without verify_checksums."
        )
    starts = tuple(f"{folder}/" for folder in folders)
    expected = {}
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            digest, _, name = line.strip().partition(" ")
            name = name.lstrip(" *").removeprefix("./")
            if name.startswith(starts) and ".." not in name:
                expected[name] = digest.lower()
    if not expected:
        raise SettingsError(f"{file} names no file below {', '.join(starts[:3]) or 'any folder'}.")
    present = [name for name in sorted(expected) if (root / name).is_file()]
    damaged = []
    with ThreadPoolExecutor(n_threads) as pool:
        digests = pool.map(lambda name: fingerprint_file(root / name), present)
        for number, (name, digest) in enumerate(zip(present, digests, strict=True), start=1):
            if digest != expected[name]:
                damaged.append(name)
            if progress and (number % 1000 == 0 or number == len(present)):
                progress(number, len(present))
    return damaged


# How much space recordings take on disk.


_SUFFIXES = ("", ".hea", ".dat", ".mat")


def count_bytes(root: Path, paths: Iterable[str]) -> int:
    """Add up the sizes of the files of recordings; a file that several share counts once.

    Parameters
    ----------
    root
        Root of the dataset.
    paths
        Paths of record_list; what stands behind a ``#`` names a part of a file.
    """
    start = os.fspath(root) + os.sep
    files = {start + path.partition("#")[0] + suffix for path in paths for suffix in _SUFFIXES}
    total = 0
    for file in files:
        try:
            status = os.stat(file)  # noqa: PTH116 - a Path for each would take twice the time
        except OSError:
            continue
        total += status.st_size if os.path.isfile(file) else 0  # noqa: PTH113
    return total
