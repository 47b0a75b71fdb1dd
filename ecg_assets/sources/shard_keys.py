"""Shard keys: runs of neighbouring folders, fewer than 100."""

from __future__ import annotations

import pandas as pd

from ecg_assets.errors import SettingsError

MAX_SHARDS = 99
"""Dagster tracks upstream partitions' versions only below 100 of them."""


def shard_of_folder(folder: int, folders_per_shard: int) -> str:
    """Name of the run of folders that holds folder pNNNN.

    >>> shard_of_folder(1007, 20), shard_of_folder(1007, 1)
    ('p1000-p1019', 'p1007')
    """
    first = folder - folder % folders_per_shard
    if folders_per_shard == 1:
        return f"p{first:04d}"
    return f"p{first:04d}-p{first + folders_per_shard - 1:04d}"


def require_few_shards(shards: pd.Series, *, advice: str) -> None:
    """Raise `SettingsError` when there are 100 shards or more."""
    n_shards = shards.nunique()
    if n_shards > MAX_SHARDS:
        raise SettingsError(
            f"The records fall into {n_shards} shards; fewer than 100 keep Dagster's view of what "
            f"is out of date exact. {advice}"
        )
