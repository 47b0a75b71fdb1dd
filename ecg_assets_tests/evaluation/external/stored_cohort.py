"""A source as a run leaves it on disk, small, with reports of any coding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.preprocess import preprocess_shard, write_shard
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT
from ecg_assets.store import SourceStore, Store
from ecg_assets_tests.labels.reports import make_reports
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record

LEADS = ("I", "II")


def store_source(
    folder: Path,
    name: str,
    reports: Mapping[str, Sequence[str]],
    coding: str,
    *,
    splits: Mapping[str, str] | None = None,
    leads: Sequence[str] = LEADS,
) -> SourceStore:
    """Store a recording of 10 s for each report, in test unless told otherwise."""
    records = pd.concat([record_list([record], shard="s") for record in reports], ignore_index=True)
    for number, record in enumerate(reports):
        signal = make_signal(len(leads), 5000, seed=number)
        write_record(folder / "raw" / record, signal, leads=leads, sample_rate_hz=500)
    stored = Store(folder).source(name)
    shards = preprocess_shard(records, folder / "raw", tuple(leads))
    write_shard(shards, stored.shards / "s.parquet", stored.root / "rejects" / "s.parquet")
    split = records[["record_id", "subject_id"]].assign(
        split=[(splits or {}).get(record, "test") for record in reports]
    )
    (stored.root / "manifests").mkdir(exist_ok=True)
    for file, schema, frame in (
        ("record_list", RECORD_LIST, records),
        ("machine_reports", MACHINE_REPORTS, make_reports(reports, coding=coding)),
        ("split", SPLIT, split),
    ):
        pq.write_table(schema.from_pandas(frame), stored.root / f"{file}.parquet")
    return stored
