"""Signal shards: one Parquet file a partition, its rejects beside it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster import InputContext

from ecg_assets.defs.io_managers.partitioned import PartitionedFiles
from ecg_assets.defs.resources.settings import Settings
from ecg_assets.preprocess import ShardDataset, ShardTables, write_shard


class _Shards(PartitionedFiles):
    suffix = ".parquet"

    def __init__(self, base: Path, rejects: Path) -> None:
        super().__init__(base)
        self._rejects = rejects

    def write(self, value: ShardTables, path: Path) -> None:
        write_shard(value, path, self._rejects / path.name)

    def load_input(self, context: InputContext) -> ShardDataset:
        return ShardDataset(super().load_input(context))


class ShardIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores each shard as ``signal_shards/<shard>.parquet`` and ``rejects/<shard>.parquet``."""

    settings: Settings

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.IOManager:
        """Build the manager for the current source's folder."""
        return _Shards(self.settings.folder(""), self.settings.folder("rejects"))
