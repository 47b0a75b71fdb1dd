"""Recordings of one shard to a table of their stored integers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.preprocess.lead_statistics import LeadStatistics, measure_leads
from ecg_assets.preprocess.limb_leads import measure_limb_leads
from ecg_assets.preprocess.shard_schema import REJECTS, SAMPLES, shard_schema
from ecg_assets.preprocess.signal_quality import judge_quality, require_quality_method
from ecg_assets.preprocess.stored_record import StoredRecord, read_stored_record

RECORDS_PER_GROUP = 256
"""Recordings that a worker reads at a time, and in one row group of a shard's file."""

Rejects = list[tuple[str, str, str]]


@dataclass(frozen=True)
class ShardTables:
    """Signals of the readable recordings (`shard_schema`) and the others (`REJECTS`)."""

    signals: pa.Table
    rejects: pd.DataFrame


def preprocess_shard(
    records: pd.DataFrame,
    root: Path,
    leads: Sequence[str],
    *,
    quality: str = "none",
    progress: Callable[[int, int], None] | None = None,
    pool: Executor | None = None,
) -> ShardTables:
    """Read recordings into a shard; one that cannot be used becomes a row of the rejects.

    Parameters
    ----------
    records
        Table with ``record_id`` (unique) and ``path`` below `root`.
    root
        Root of the dataset.
    leads
        Names of the leads to keep; a recording must have them all.
    quality
        ``zhao2018`` fills the column ``signal_quality``; ``none`` leaves it empty.
    progress
        Called with the recordings done and those there are, every `RECORDS_PER_GROUP`.
    pool
        Processes that read ahead (`worker_pool`); without them this one reads.

    Returns
    -------
    ShardTables
        Rows sorted by ``record_id``: the same files give the same tables.

    Raises
    ------
    SchemaError
        When a ``record_id`` stands twice.
    SettingsError
        When `quality` needs a package that is not installed.
    """
    require_quality_method(quality)
    leads = tuple(leads)
    ordered = records[["record_id", "path"]].sort_values("record_id", ignore_index=True)
    if not ordered["record_id"].is_unique:
        raise SchemaError(
            f"{int(ordered['record_id'].duplicated().sum())} of {len(ordered)} recordings have "
            "the record_id of another one; record_id must be unique."
        )
    rows = list(zip(ordered["record_id"].tolist(), ordered["path"].tolist(), strict=True))
    groups = [rows[at : at + RECORDS_PER_GROUP] for at in range(0, len(rows), RECORDS_PER_GROUP)]
    read = partial(_read_group, root=root, leads=leads, quality=quality)
    # Starting processes costs more than reading one group.
    done = pool.map(read, groups) if pool and len(groups) > 1 else map(read, groups)
    batches: list[pa.RecordBatch] = []
    rejects: Rejects = []
    for number, (batch, bad) in enumerate(done, start=1):
        batches.append(batch)
        rejects += bad
        if progress:
            progress(min(number * RECORDS_PER_GROUP, len(rows)), len(rows))
    return ShardTables(
        pa.Table.from_batches(batches, schema=shard_schema(leads).arrow),
        pd.DataFrame(rejects, columns=[column.name for column in REJECTS.columns], dtype=str),
    )


def _read_group(
    rows: list[tuple[str, str]], *, root: Path, leads: tuple[str, ...], quality: str
) -> tuple[pa.RecordBatch, Rejects]:
    """Read recordings, each given by ``record_id`` and path, in their order."""
    good: dict[str, StoredRecord] = {}
    bad: Rejects = []
    for name, path in rows:
        outcome = _try_to_read(path, root, leads)
        if isinstance(outcome, BadRecord):
            bad.append((name, outcome.reason, outcome.detail))
        else:
            good[name] = outcome
    return _to_batch(good, leads, quality), bad


def _try_to_read(path: str, root: Path, leads: tuple[str, ...]) -> StoredRecord | BadRecord:
    try:
        return read_stored_record(path, root, leads)
    except BadRecord as error:
        return error


def _to_batch(
    records: dict[str, StoredRecord], leads: tuple[str, ...], quality: str
) -> pa.RecordBatch:
    schema = shard_schema(leads).arrow
    found = list(records.values())
    lengths = [record.signal.shape[1] for record in found]
    statistics = _measure(found, leads)
    columns: dict[str, Any] = {
        "record_id": list(records),
        "sample_rate_hz": [record.sample_rate_hz for record in found],
        "n_samples": lengths,
        "limb_residual_mv": statistics.pop("limb_residual_mv"),
        "limb_fault": statistics.pop("limb_fault"),
        "signal_quality": [
            judge_quality(record.signal, record.gain, record.sample_rate_hz)
            if quality != "none"
            else None
            for record in found
        ],
    }
    offsets = pa.array(np.cumsum([0, *lengths]), pa.int32())
    for at, lead in enumerate(leads):
        flat = np.concatenate([np.empty(0, np.int16), *(record.signal[at] for record in found)])
        columns[f"lead_{lead}"] = pa.ListArray.from_arrays(offsets, pa.array(flat), type=SAMPLES)
        columns[f"gain_{lead}"] = [record.gain[at] for record in found]
        columns[f"baseline_{lead}"] = [record.baseline[at] for record in found]
        for name, values in statistics.items():
            columns[f"{name}_{lead}"] = values[:, at]
    arrays = [
        columns[field.name]
        if field.type == SAMPLES
        else pa.array(columns[field.name], type=field.type, from_pandas=True)
        for field in schema
    ]
    return pa.record_batch(arrays, schema=schema)


def _measure(records: list[StoredRecord], leads: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Statistics by name, ``(record, lead)`` or ``(record,)``; equal lengths make a block."""
    rows_of_length = defaultdict(list)
    for row, record in enumerate(records):
        rows_of_length[record.signal.shape[1]].append(row)
    of_leads = {
        field.name: np.zeros((len(records), len(leads)), np.int64)
        for field in fields(LeadStatistics)
    }
    residual, fault = np.full(len(records), np.nan), np.full(len(records), None, object)
    for rows in rows_of_length.values():
        block = np.stack([records[row].signal for row in rows])
        measured = measure_leads(block)
        for name, values in of_leads.items():
            values[rows] = getattr(measured, name)
        residual[rows], fault[rows] = measure_limb_leads(
            block,
            np.stack([records[row].gain for row in rows]),
            np.stack([records[row].baseline for row in rows]),
            leads,
        )
    is_flat = of_leads["is_flat"].astype(bool)
    return {**of_leads, "is_flat": is_flat, "limb_residual_mv": residual, "limb_fault": fault}
