"""Records as .mat files for fairseq-signals: one folder a shard."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from ecg_assets.defs.io_managers.partitioned import PartitionedFiles
from ecg_assets.defs.mat_stream import MatBatch
from ecg_assets.defs.resources.settings import Settings
from ecg_assets.preprocess import export_mat_records


class _MatFolders(PartitionedFiles):
    def write(self, value: MatBatch, path: Path) -> None:
        export_mat_records(value.signals, value.spec, value.records, path, form=value.form)


class MatIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores each shard as a folder ``mat_records/<shard>`` of .mat files."""

    settings: Settings

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.IOManager:
        """Build the manager for the current source's folder."""
        return _MatFolders(self.settings.folder(""))
