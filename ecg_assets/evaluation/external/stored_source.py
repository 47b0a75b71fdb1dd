"""What a run with another ECG_SOURCE left on disk: tables and shards to evaluate on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.errors import SchemaError
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.tables import TableSchema

_RECORDS, _REPORTS, _SPLIT = "record_list.parquet", "machine_reports.parquet", "split.parquet"
_MANIFESTS = "manifests"
_SHARDS = "signal_shards"


@dataclass(frozen=True)
class StoredSource:
    """Results of one source.

    Attributes
    ----------
    name
        The dataset.
    folder
        Folder of its results.
    """

    name: str
    folder: Path

    @property
    def shard_folder(self) -> Path:
        """Folder of ``<shard>.parquet``."""
        return self.folder / _SHARDS

    def find_missing(self) -> list[str]:
        """List what an evaluation needs and is not stored."""
        needed = (_RECORDS, _REPORTS, _SPLIT, _MANIFESTS)
        missing = [name for name in needed if not (self.folder / name).exists()]
        has_shards = any(self.shard_folder.glob("*.parquet"))
        return missing if has_shards else [*missing, _SHARDS]

    def read_records(self) -> pd.DataFrame:
        """Read the table that `RECORD_LIST` declares."""
        return self._read(_RECORDS, RECORD_LIST)

    def read_reports(self) -> pd.DataFrame:
        """Read the table that `MACHINE_REPORTS` declares."""
        return self._read(_REPORTS, MACHINE_REPORTS)

    def read_split(self) -> pd.DataFrame:
        """Read the table that `SPLIT` declares."""
        return self._read(_SPLIT, SPLIT)

    def _read(self, file: str, schema: TableSchema) -> pd.DataFrame:
        path = self.folder / file
        if not path.is_file():
            raise SchemaError(f"{path} is not there. Materialize it with ECG_SOURCE={self.name}.")
        frame: pd.DataFrame = schema.require(pq.read_table(path)).to_pandas()
        return frame
