"""Shards of one run as .mat files, made one by one as the IO manager writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from dagster import AssetExecutionContext

from ecg_assets.defs.resources import Settings
from ecg_assets.defs.shard_stream import log_stored
from ecg_assets.errors import EcgAssetsError
from ecg_assets.lineage import fingerprint_bytes, fingerprint_json, fingerprint_table
from ecg_assets.preprocess import MatForm, SignalSpec, read_shard


@dataclass(frozen=True)
class MatBatch:
    """What the IO manager needs to write one shard's .mat files."""

    signals: pa.Table
    spec: SignalSpec
    records: pd.DataFrame
    form: MatForm


class MatStream:
    """Iterates over (shard, batch) of the run's partitions; keeps each one's version."""

    def __init__(
        self,
        context: AssetExecutionContext,
        settings: Settings,
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
        self._spec, self._form = settings.signal_spec, settings.mat_form
        self._shards = shards
        self._records = records[["record_id", "study_id", "shard"]].assign(row=range(len(records)))
        self.versions: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, MatBatch]]:
        for number, (shard, path) in enumerate(sorted(self._shards.items()), start=1):
            signals = read_shard(path, leads=self._spec.leads)
            records = self._records[self._records["shard"] == shard].drop(columns="shard")
            version = fingerprint_bytes(
                fingerprint_table(signals).encode(),
                self._spec.fingerprint.encode(),
                fingerprint_json(records.to_dict("list")).encode(),
                fingerprint_json(asdict(self._form)).encode(),
            )
            self._context.log.info(f"shard {number} of {len(self._shards)}: {shard}")
            yield shard, MatBatch(signals, self._spec, records, self._form)
            self.versions[shard] = version
            log_stored(self._context, shard, version, {"records": len(signals)})
