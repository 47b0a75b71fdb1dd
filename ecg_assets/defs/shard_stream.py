"""Shards of one run, made one by one as the IO manager writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
from dagster import AssetExecutionContext

from ecg_assets.defs.data_versions import DATA_VERSION_TAG
from ecg_assets.defs.resources import Settings
from ecg_assets.errors import EcgAssetsError
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json, fingerprint_table
from ecg_assets.preprocess import (
    ShardTables,
    SignalSpec,
    preprocess_shard,
    read_shard,
    shard_summary,
)


class ShardStream:
    """Iterates over (shard, tables) of the run's partitions; keeps each one's version."""

    def __init__(
        self, context: AssetExecutionContext, settings: Settings, records: pd.DataFrame
    ) -> None:
        self._context = context
        self._root = settings.source_root
        self._leads = tuple(settings.stored_leads)
        self._records = records
        self.versions: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, ShardTables]]:
        keys = self._context.partition_keys
        for number, shard in enumerate(keys, start=1):
            records = self._records[self._records["shard"] == shard]
            tables = preprocess_shard(records, self._root, self._leads)
            rejects = pa.Table.from_pandas(tables.rejects, preserve_index=False)
            version = fingerprint_bytes(
                fingerprint_table(tables.signals).encode(), fingerprint_table(rejects).encode()
            )
            summary = shard_summary(tables)
            self._context.log.info(f"shard {number} of {len(keys)}: {shard}: {summary}")
            yield shard, tables
            self.versions[shard] = version
            _log_stored(self._context, shard, version, summary)


@dataclass(frozen=True)
class MatBatch:
    """What the IO manager needs to write one shard's .mat files."""

    signals: pa.Table
    spec: SignalSpec
    row_of_record: Mapping[str, int]


class MatStream:
    """Iterates over (shard, batch) of the run's partitions; keeps each one's version."""

    def __init__(
        self,
        context: AssetExecutionContext,
        spec: SignalSpec,
        records: pd.DataFrame,
        shards: Mapping[str, Path],
    ) -> None:
        missing = sorted(set(context.partition_keys) - set(shards))
        if missing:
            raise EcgAssetsError(
                f"{len(missing)} shards are not preprocessed yet, first {missing[0]}. "
                "Materialize signal_shards for them first."
            )
        self._context = context
        self._spec = spec
        self._shards = shards
        self._row_of_record = dict(zip(records["record_id"], range(len(records)), strict=True))
        self.versions: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, MatBatch]]:
        for number, (shard, path) in enumerate(sorted(self._shards.items()), start=1):
            signals = read_shard(path, leads=self._spec.leads)
            rows = {name: self._row_of_record[name] for name in signals["record_id"].to_pylist()}
            version = fingerprint_bytes(
                fingerprint_table(signals).encode(),
                self._spec.fingerprint.encode(),
                fingerprint_json(rows).encode(),
            )
            self._context.log.info(f"shard {number} of {len(self._shards)}: {shard}")
            yield shard, MatBatch(signals, self._spec, rows)
            self.versions[shard] = version
            _log_stored(self._context, shard, version, {"records": len(rows)})


def _log_stored(
    context: AssetExecutionContext, shard: str, version: str, summary: Mapping[str, float]
) -> None:
    """Tell Dagster of a shard as soon as it is stored.

    Of a run over many shards Dagster itself would log none before the last is written, and
    a run that ends early would leave finished shards that count as missing.
    """
    context.add_asset_metadata(dict(summary), partition_key=shard)
    if len(context.partition_keys) == 1:
        context.set_data_version(context.asset_key, dg.DataVersion(version))
        return
    context.log_event(
        dg.AssetMaterialization(
            asset_key=context.asset_key,
            partition=shard,
            metadata=dict(summary),
            tags={DATA_VERSION_TAG: version},
        )
    )
