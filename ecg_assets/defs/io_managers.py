"""What each kind of output is stored as: one table, and the two IO managers that read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from dagster import InputContext, OutputContext
from upath import UPath

from ecg_assets.build import read_manifest, write_manifest
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.tables import schema_of
from ecg_assets.errors import MissingInput
from ecg_assets.evaluation.result import Results, StoredResults, read_result, read_results
from ecg_assets.made_with import frame_with_facts, known_facts, write_facts
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import ShardDataset, ShardTables, write_shard
from ecg_assets.storage import replace_file


@dataclass(frozen=True)
class Format:
    """How outputs of one type are stored.

    Attributes
    ----------
    suffix
        Of their files; empty for a folder.
    write
        Writes a value to a path atomically; takes the asset's name, too.
    read
        Reads what was written, by path and name of the asset. Of a stream's format: gives the
        asset what it reads of all stored partitions, by their mapping to paths.
    is_stream
        Whether an output is an iterable of (partition, value): see `_StreamedFiles`.
    """

    suffix: str
    write: Callable[[Any, Path, str], object]
    read: Callable[[Any, str], Any]
    is_stream: bool = False


def _write_parquet(table: pa.Table, path: Path) -> None:
    with replace_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _write_table(frame: pd.DataFrame, path: Path, asset: str) -> None:
    """Write a table in the schema that its asset declares; one that breaks it is an error."""
    table = schema_of(asset, frame.columns).from_pandas(frame)
    if facts := known_facts(frame):
        table = table.cast(write_facts(table.schema, facts))
    _write_parquet(table, path)


def _read_table(path: Path, asset: str) -> pd.DataFrame:
    """Read a table, and hold it against its asset's schema."""
    table = pq.read_table(path)
    return frame_with_facts(schema_of(asset, table.column_names).require(table))


def _write_results(results: Results, path: Path, asset: str) -> None:
    """Write one result or a list of some as JSON; an undefined number is null."""
    value = [one.to_json() for one in results] if isinstance(results, list) else results.to_json()
    with replace_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def _write_shard(tables: ShardTables, path: Path, asset: str) -> None:
    """Write a shard, and its rejects to ``rejects/<shard>.parquet``."""
    write_shard(tables, path, path.parents[1] / "rejects" / path.name)


FORMATS: dict[str, Format] = {
    "parquet": Format(
        ".parquet",
        _write_table,
        _read_table,
    ),
    "manifest": Format(
        "",
        lambda manifest, path, asset: write_manifest(manifest, path),
        lambda path, asset: read_manifest(path),
    ),
    "predictions": Format(
        ".parquet",
        lambda found, path, asset: _write_parquet(found.to_table(), path),
        lambda path, asset: Predictions.from_table(pq.read_table(path)),
    ),
    "metrics": Format(".json", _write_results, lambda path, asset: read_result(path)),
    "shard": Format(
        ".parquet", _write_shard, lambda paths, asset: ShardDataset(paths), is_stream=True
    ),
}
"""Each format by its ``io_manager_key``; a module of assets may add one of its own."""


class FileIOManager(dg.ConfigurableIOManagerFactory):  # type: ignore[type-arg]
    """Stores outputs as ``<asset>``, or ``<asset>/<partition>``, below the source's folder."""

    settings: Settings
    format: str

    def create_io_manager(self, context: dg.InitResourceContext) -> dg.IOManager:
        """Build the manager of the format for the current source's folder."""
        form, root = FORMATS[self.format], self.settings.stored.root
        if form.is_stream:
            return _StreamedFiles(root, form)
        return (_Results if self.format == "metrics" else _Files)(root, form)


def io_managers(settings: Settings) -> dict[str, FileIOManager]:
    """Give the manager of each format, by its key."""
    return {key: FileIOManager(settings=settings, format=key) for key in FORMATS}


class _Files(dg.UPathIOManager):
    """One file or folder an asset or a partition."""

    def __init__(self, root: Path, form: Format) -> None:
        self.extension = form.suffix
        self._form = form
        super().__init__(UPath(root))

    def dump_to_path(self, context: OutputContext, obj: Any, path: UPath) -> None:
        self._form.write(obj, Path(str(path)), context.asset_key.path[-1])

    def load_from_path(self, context: InputContext, path: UPath) -> Any:
        name = context.asset_key.path[-1]
        if not path.exists():
            what = f"{name} of {context.partition_key}" if context.has_partition_key else name
            raise MissingInput(f"There is no {path}. Materialize {what} first.")
        return self._form.read(Path(str(path)), name)


class _Results(_Files):
    """An asset without partitions gets all results that are stored, be it one."""

    def load_input(self, context: InputContext) -> Results | StoredResults:
        folder = Path(str(self._get_path_without_extension(context)))
        if context.has_partition_key:
            return read_result(folder / f"{context.asset_partition_key}.json")
        keys = context.asset_partition_keys
        results = read_results({key: folder / f"{key}.json" for key in keys})
        for reason in results.skipped.values():
            context.log.warning(f"Left out: {reason}")
        return results


class _StreamedFiles(dg.IOManager):
    """Takes an iterable of (partition, value); gives what is stored of the asked partitions.

    Outputs of many partitions in one run are written one by one as they arrive. Dagster's
    `UPathIOManager` refuses an output that stands for several partitions, and would need
    all of them in memory.
    """

    def __init__(self, root: Path, form: Format) -> None:
        self._root = root
        self._form = form

    def handle_output(self, context: OutputContext, obj: Iterable[tuple[str, Any]]) -> None:
        """Write partitions as they arrive; those before a kill stay on disk."""
        asset = context.asset_key.path[-1]
        for partition, value in obj:
            self._form.write(value, self._path(asset, partition), asset)

    def load_input(self, context: InputContext) -> Mapping[str, Path]:
        """Read those of the asked partitions that are stored, in the order of their names."""
        asset = context.asset_key.path[-1]
        paths = {key: self._path(asset, key) for key in sorted(context.asset_partition_keys)}
        found: Mapping[str, Path] = self._form.read(
            {key: path for key, path in paths.items() if path.exists()}, asset
        )
        return found

    def _path(self, asset: str, partition: str) -> Path:
        return self._root / asset / f"{partition}{self._form.suffix}"
