"""Recordings of one shard to a table of their stored integers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.preprocess.lead_statistics import LeadStatistics, measure_leads
from ecg_assets.preprocess.shard_schema import REJECTS, SAMPLES, shard_schema
from ecg_assets.preprocess.stored_record import StoredRecord, read_stored_record

RECORDS_PER_GROUP = 256
"""Recordings handled at a time, and in one row group of a shard's file."""

_RECORDS_PER_TASK = 16  # handing over a task costs a thread as much as reading a record


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
    progress: Callable[[int, int], None] | None = None,
    n_workers: int = 4,
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
    progress
        Called with the recordings done and those there are, every `RECORDS_PER_GROUP`.
    n_workers
        Threads that read ahead, which hides the latency of a disk.

    Returns
    -------
    ShardTables
        Rows sorted by ``record_id``: the same files give the same tables.

    Raises
    ------
    SchemaError
        When a ``record_id`` stands twice.
    """
    leads = tuple(leads)
    schema = shard_schema(leads).arrow
    ordered = records[["record_id", "path"]].sort_values("record_id", ignore_index=True)
    if not ordered["record_id"].is_unique:
        raise SchemaError(
            f"{int(ordered['record_id'].duplicated().sum())} of {len(ordered)} recordings have "
            "the record_id of another one; record_id must be unique."
        )
    batches, rejects = [], []
    with ThreadPoolExecutor(n_workers) as pool:
        for start in range(0, len(ordered), RECORDS_PER_GROUP):
            group = ordered.iloc[start : start + RECORDS_PER_GROUP]
            good, bad = _read_group(pool, group, root, leads)
            batches.append(_to_batch(good, leads, schema))
            rejects += [(name, error.reason, error.detail) for name, error in bad.items()]
            if progress:
                progress(start + len(group), len(ordered))
    return ShardTables(
        pa.Table.from_batches(batches, schema=schema),
        pd.DataFrame(rejects, columns=[column.name for column in REJECTS.columns], dtype=str),
    )


def _read_group(
    pool: Executor, group: pd.DataFrame, root: Path, leads: tuple[str, ...]
) -> tuple[dict[str, StoredRecord], dict[str, BadRecord]]:
    """Read recordings by ``record_id``, in the group's order."""
    rows = list(zip(group["record_id"], group["path"], strict=True))
    tasks = [rows[at : at + _RECORDS_PER_TASK] for at in range(0, len(rows), _RECORDS_PER_TASK)]
    good: dict[str, StoredRecord] = {}
    bad: dict[str, BadRecord] = {}

    def read(task: list[tuple[str, str]]) -> list[tuple[str, StoredRecord | BadRecord]]:
        return [(name, _try_to_read(path, root, leads)) for name, path in task]

    for done in pool.map(read, tasks):
        for name, outcome in done:
            if isinstance(outcome, BadRecord):
                bad[name] = outcome
            else:
                good[name] = outcome
    return good, bad


def _try_to_read(path: str, root: Path, leads: tuple[str, ...]) -> StoredRecord | BadRecord:
    try:
        return read_stored_record(path, root, leads)
    except BadRecord as error:
        return error


def _to_batch(
    records: dict[str, StoredRecord], leads: tuple[str, ...], schema: pa.Schema
) -> pa.RecordBatch:
    found = list(records.values())
    lengths = [record.signal.shape[1] for record in found]
    columns: dict[str, Any] = {
        "record_id": list(records),
        "sample_rate_hz": [record.sample_rate_hz for record in found],
        "n_samples": lengths,
    }
    statistics = _measure(found, len(leads))
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
        else pa.array(columns[field.name], type=field.type)
        for field in schema
    ]
    return pa.record_batch(arrays, schema=schema)


def _measure(records: list[StoredRecord], n_leads: int) -> dict[str, NDArray[Any]]:
    """Statistics by name, each ``(record, lead)``; recordings of one length make a block."""
    rows_of_length = defaultdict(list)
    for row, record in enumerate(records):
        rows_of_length[record.signal.shape[1]].append(row)
    columns = {
        field.name: np.zeros((len(records), n_leads), np.int64) for field in fields(LeadStatistics)
    }
    for rows in rows_of_length.values():
        measured = measure_leads(np.stack([records[row].signal for row in rows]))
        for name, values in columns.items():
            values[rows] = getattr(measured, name)
    return columns | {"is_flat": columns["is_flat"].astype(bool)}
