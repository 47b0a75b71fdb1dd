"""Tables as Parquet, in the schema that the asset declares."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from dagster import InputContext, OutputContext
from upath import UPath

from ecg_assets.defs.resources.settings import Settings
from ecg_assets.storage import replace_file
from ecg_assets.tables import TableSchema


class _ParquetTables(dg.UPathIOManager):
    extension = ".parquet"

    def __init__(self, base_path: UPath, schemas: dict[str, TableSchema]) -> None:
        super().__init__(base_path)
        self._schemas = schemas

    def dump_to_path(self, context: OutputContext, obj: pd.DataFrame, path: UPath) -> None:
        schema = self._schemas[context.asset_key.path[-1]]
        with replace_file(Path(str(path))) as temporary:
            pq.write_table(schema.from_pandas(obj), temporary, compression="zstd")

    def load_from_path(self, context: InputContext, path: UPath) -> pd.DataFrame:
        schema = self._schemas[context.asset_key.path[-1]]
        frame: pd.DataFrame = schema.require(pq.read_table(Path(str(path)))).to_pandas()
        return frame


class ParquetIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores DataFrames as ``<asset>.parquet``; a table that breaks its schema is an error."""

    settings: Settings

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.UPathIOManager:
        """Build the manager for the current source's folder."""
        from ecg_assets.defs.tables import TABLES

        return _ParquetTables(UPath(self.settings.folder("")), TABLES)
