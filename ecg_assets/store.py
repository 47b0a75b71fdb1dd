"""Where each result lies below the data folder, and how a stored table is read.

Results of a source lie below ``<root>/<source>``, one file or folder an asset; what all sources
share lies beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.made_with import frame_with_facts
from ecg_assets.tables import TableSchema


@dataclass(frozen=True)
class Store:
    """All results of a deployment.

    Attributes
    ----------
    root
        The data folder.
    """

    root: Path

    def source(self, name: str) -> SourceStore:
        """Results of one source."""
        return SourceStore(self, name)

    @property
    def checkpoints(self) -> Path:
        """Folder with one folder a checkpoint; shared by all sources."""
        return self.root / "checkpoints"

    @property
    def requests(self) -> Path:
        """Folder of the requests of trainings, one JSON file each."""
        return self.root / "requests"

    @property
    def refused(self) -> Path:
        """Folder of what is known of refused checkpoints."""
        return self.root / "refused_checkpoints"

    @property
    def hub(self) -> Path:
        """Folder of checkpoints that were fetched from the hub of Hugging Face."""
        return self.root / "hub"

    @property
    def matrix(self) -> Path:
        """Folder of all results of the evaluation matrix."""
        return self.root / "matrix"

    @property
    def protocols(self) -> Path:
        """Folder with the results of each protocol."""
        return self.root / "protocols"

    @property
    def raw(self) -> Path:
        """Folder of datasets that are made or fetched here."""
        return self.root / "raw"


@dataclass(frozen=True)
class SourceStore:
    """Results of one source.

    Attributes
    ----------
    store
        All results.
    name
        The dataset.
    """

    store: Store
    name: str

    @property
    def root(self) -> Path:
        """Folder of the source's results."""
        return self.store.root / self.name

    def folder(self, asset: str) -> Path:
        """Folder, or file, of an asset."""
        return self.root / asset

    def table_path(self, asset: str, partition: str | None = None) -> Path:
        """File of a table, or of one partition of it."""
        name = asset if partition is None else f"{asset}/{partition}"
        return self.root / f"{name}.parquet"

    @property
    def shards(self) -> Path:
        """Folder of ``<shard>.parquet``."""
        return self.folder("signal_shards")

    @property
    def cache(self) -> Path:
        """Folder of what is decoded once; it may be deleted when nothing reads it."""
        return self.folder("cache")

    def shard_paths(self) -> dict[str, Path]:
        """File of each stored shard by name, sorted."""
        return {path.stem: path for path in sorted(self.shards.glob("*.parquet"))}

    def find_missing(self) -> list[str]:
        """List what an evaluation on this source needs and is not stored."""
        tables = ("record_list", "machine_reports", "split")
        missing = [name for name in tables if not self.table_path(name).is_file()]
        missing += [] if self.folder("manifests").exists() else ["manifests"]
        return missing if self.shard_paths() else [*missing, "signal_shards"]

    def require_complete(self) -> None:
        """Raise `SettingsError` when something that an evaluation needs is not stored."""
        if missing := self.find_missing():
            raise SettingsError(
                f"{self.root} lacks {', '.join(missing)}. Materialize up to manifests with "
                f"ECG_SOURCE={self.name}."
            )

    def read_table(self, schema: TableSchema, *, partition: str | None = None) -> pd.DataFrame:
        """Read the table of a schema's name, with the facts that it was made with.

        Raises
        ------
        SchemaError
            When it is not stored, or breaks its schema.
        """
        path = self.table_path(schema.name, partition)
        if not path.is_file():
            raise SchemaError(f"{path} is not there. Materialize it with ECG_SOURCE={self.name}.")
        return frame_with_facts(schema.require(pq.read_table(path)))
