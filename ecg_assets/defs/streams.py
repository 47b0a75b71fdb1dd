"""Shards of one run, made one by one as the IO manager writes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow as pa
from dagster import AssetExecutionContext

from ecg_assets.defs.data_versions import DATA_VERSION_TAG
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata
from ecg_assets.lineage import fingerprint_bytes, fingerprint_table
from ecg_assets.preprocess import (
    ShardTables,
    draw_strips,
    is_cut,
    lead_in_mv,
    preprocess_shard,
    shard_summary,
    worker_pool,
)
from ecg_assets.sources import count_bytes

_SECONDS_BETWEEN_LINES = 10


class ShardStream:
    """Iterates over (shard, tables) of the run's partitions; keeps each one's version."""

    def __init__(
        self, context: AssetExecutionContext, settings: Settings, records: pd.DataFrame
    ) -> None:
        self._context = context
        self._settings = settings
        self._records = records
        self.versions: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, ShardTables]]:
        keys = self._context.partition_keys
        with worker_pool(self._settings.workers) as pool:
            for number, shard in enumerate(keys, start=1):
                title = f"shard {number} of {len(keys)}: {shard}"
                records = self._records[self._records["shard"] == shard]
                tables, metadata = self._read(title, records, pool)
                rejects = pa.Table.from_pandas(tables.rejects, preserve_index=False)
                version = fingerprint_bytes(
                    fingerprint_table(tables.signals).encode(), fingerprint_table(rejects).encode()
                )
                yield shard, tables
                self.versions[shard] = version
                stored = self._settings.stored.shards / f"{shard}.parquet"
                strips = show_strips(tables.signals, self._settings.stored_leads[0])
                metadata = {**metadata, "bytes_out": stored.stat().st_size, **strips}
                log_stored(self._context, shard, version, metadata)

    def _read(
        self, title: str, records: pd.DataFrame, pool: Executor | None
    ) -> tuple[ShardTables, dict[str, Any]]:
        """Read a shard's recordings; give also what to tell of it."""
        started = time.monotonic()
        with self._settings.recordings_at_hand(records["path"]) as root:
            tables = preprocess_shard(
                records,
                root,
                self._settings.stored_leads,
                quality=self._settings.signal_quality,
                progress=self._log_progress(title),
                pool=pool,
            )
            n_bytes = count_bytes(root, records["path"])
        summary = shard_summary(tables) | describe_used(tables, self._settings)
        self._context.log.info(f"{title}: {summary}")
        rate = len(records) / max(time.monotonic() - started, 1e-9)
        return tables, {**summary, "records_per_second": round(rate, 1), "bytes_in": n_bytes}

    def _log_progress(self, title: str) -> Callable[[int, int], None]:
        """Tell every few seconds how far a shard is."""
        last = time.monotonic()

        def log(done: int, total: int) -> None:
            nonlocal last
            if time.monotonic() - last > _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                self._context.log.info(f"{title}: {done} of {total} recordings")

        return log


def describe_used(tables: ShardTables, settings: Settings) -> dict[str, int | str]:
    """Say which part of recordings model input is made of, and how many are longer than that.

    A shard keeps whole recordings; `manifests` is what uses a part of them.
    """
    spec, signals = settings.signal_spec, tables.signals
    longer = is_cut(signals["n_samples"].to_numpy(), signals["sample_rate_hz"].to_numpy(), spec)
    return {"used_of_a_recording": spec.describe_part(), "records_longer": int(longer.sum())}


def show_strips(signals: pa.Table, lead: str, n: int = 3) -> dict[str, dg.MetadataValue[Any]]:
    """Picture a few recordings, evenly spaced, by their number: no patient is named."""
    if not signals.num_rows:
        return {}
    rows = np.unique(np.linspace(0, signals.num_rows - 1, n).astype(int))
    leads = [lead_in_mv(signals, int(row), lead) for row in rows]
    png = draw_strips(
        [f"recording {row + 1} of {signals.num_rows}, lead {lead}" for row in rows],
        [signal for signal, _ in leads],
        [rate for _, rate in leads],
    )
    return {"strips": png_metadata(png, "Three recordings")}


def log_stored(
    context: AssetExecutionContext, shard: str, version: str, metadata: Mapping[str, Any]
) -> None:
    """Tell Dagster of a shard as soon as it is stored.

    Of a run over many shards Dagster itself would log none before the last is written, and
    a run that ends early would leave finished shards that count as missing.
    """
    context.add_asset_metadata(dict(metadata), partition_key=shard)
    if len(context.partition_keys) == 1:
        context.set_data_version(context.asset_key, dg.DataVersion(version))
        return
    context.log_event(
        dg.AssetMaterialization(
            asset_key=context.asset_key,
            partition=shard,
            metadata=dict(metadata),
            tags={DATA_VERSION_TAG: version},
        )
    )
