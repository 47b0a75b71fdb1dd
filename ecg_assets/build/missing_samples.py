"""Find rows of a manifest that point at no sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.preprocess import read_shard


def find_missing_samples(index: pd.DataFrame, shard_folder: Path) -> pd.DataFrame:
    """Rows of an index whose shard, at their row, does not hold their recording.

    Parameters
    ----------
    index
        Table as `INDEX` declares.
    shard_folder
        Folder of ``<shard>.parquet``; a file that is missing holds nothing.
    """
    is_stored = np.zeros(len(index), bool)
    wanted, rows = index["record_id"].to_numpy(dtype=object), index["row"].to_numpy()
    for shard, at in index.groupby("shard").indices.items():
        path = shard_folder / f"{shard}.parquet"
        if not path.is_file():
            continue
        stored = read_shard(path, columns=["record_id"])["record_id"].to_numpy()
        inside = at[(rows[at] >= 0) & (rows[at] < len(stored))]
        is_stored[inside] = stored[rows[inside]] == wanted[inside]
    return index[~is_stored]
