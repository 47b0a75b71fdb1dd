"""Shard keys: runs of neighbouring folders, fewer than 100 of them."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.errors import SettingsError

MAX_SHARDS = 99
"""Dagster tracks the versions of upstream partitions only below 100 of them."""


def shard_of_folder(folder: int, folders_per_shard: int) -> str:
    """Name the run of folders that holds folder pNNNN.

    >>> shard_of_folder(1007, 20), shard_of_folder(1007, 1)
    ('p1000-p1019', 'p1007')
    """
    first = folder - folder % folders_per_shard
    if folders_per_shard == 1:
        return f"p{first:04d}"
    return f"p{first:04d}-p{first + folders_per_shard - 1:04d}"


def shards_of_numbered_folders(
    folders: NDArray[np.int64], folders_per_shard: int
) -> NDArray[np.object_]:
    """Name the shard of each record by the number of its folder pNNNN: ``(record,)``.

    Raises
    ------
    SettingsError
        When there would be 100 shards or more; it says which number avoids that.
    """
    numbers, record_folder = np.unique(folders, return_inverse=True)
    if _count_runs(numbers, folders_per_shard) > MAX_SHARDS:
        enough = folders_per_shard
        while _count_runs(numbers, enough) > MAX_SHARDS:
            enough += 1
        raise SettingsError(
            f"ECG_FOLDERS_PER_SHARD is {folders_per_shard}, which makes "
            f"{_count_runs(numbers, folders_per_shard)} shards of {len(numbers)} folders; at most "
            f"{MAX_SHARDS} are allowed, because Dagster tracks what is out of date only below "
            f"100 partitions. Raise ECG_FOLDERS_PER_SHARD to {enough} or more."
        )
    names = np.array([shard_of_folder(int(n), folders_per_shard) for n in numbers], dtype=object)
    return names[record_folder]


def shards_of_paths(paths: pd.Series[str]) -> pd.Series[str]:
    """Name the shard of each record by the folders that its path leads through.

    The folders' names are joined by ``-``, as many levels as keep the shards at 99 or fewer;
    files right at the root make the shard ``root``.

    >>> shards_of_paths(pd.Series(["training/georgia/g1/E1", "training/ptb-xl/H1"])).tolist()
    ['training-georgia-g1', 'training-ptb-xl']
    """
    folders = pd.Series([PurePosixPath(path).parent.parts for path in paths], index=paths.index)
    depth = int(folders.str.len().max()) if len(folders) else 0
    while True:
        shards = pd.Series(["-".join(f[:depth]) or "root" for f in folders], index=paths.index)
        if shards.nunique() <= MAX_SHARDS:
            return shards
        depth -= 1


def _count_runs(numbers: NDArray[np.int64], length: int) -> int:
    return len(np.unique(numbers // length))
