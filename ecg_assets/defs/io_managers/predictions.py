"""Predictions: one Parquet file a checkpoint."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
from dagster import InputContext, OutputContext
from upath import UPath

from ecg_assets.defs.resources.settings import Settings
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_file


class _Predictions(dg.UPathIOManager):
    extension = ".parquet"

    def dump_to_path(self, context: OutputContext, obj: Predictions, path: UPath) -> None:
        with replace_file(Path(str(path))) as temporary:
            pq.write_table(obj.to_table(), temporary, compression="zstd")

    def load_from_path(self, context: InputContext, path: UPath) -> Predictions:
        return Predictions.from_table(pq.read_table(Path(str(path))))


class PredictionsIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores `Predictions` with their label vocabulary."""

    settings: Settings

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.UPathIOManager:
        """Build the manager for the current source's folder."""
        return _Predictions(UPath(self.settings.folder("")))
