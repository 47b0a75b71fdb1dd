"""Recordings of one shard to a table of their stored integers."""

from __future__ import annotations

import math
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
from ecg_assets.lineage import fingerprint_json
from ecg_assets.made_with import (
    SHARD_RECORDS,
    SIGNAL_QUALITY,
    SOURCE,
    SOURCE_SETTINGS,
    STORED_LEADS,
    known_facts,
    write_facts,
)
from ecg_assets.preprocess.lead_statistics import LeadStatistics, measure_leads, measure_limb_leads
from ecg_assets.preprocess.quality import judge_quality, require_quality_method
from ecg_assets.preprocess.shard_schema import REJECTS, SAMPLES, shard_schema
from ecg_assets.sources import Record, read_recording
from ecg_assets.sources.file_limits import MOST_SAMPLES, SAMPLE_RATES_HZ

# One recording as a shard can store it.


_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class StoredRecord:
    """Stored integers of a recording's leads.

    Attributes
    ----------
    signal
        int16 ``(lead, sample)``; a missing sample is -32768.
    gain, baseline
        ADC units in one mV, and at 0 mV, ``(lead,)``.
    sample_rate_hz
        Sample rate as recorded.
    """

    signal: NDArray[np.int16]
    gain: NDArray[np.float64]
    baseline: NDArray[np.int64]
    sample_rate_hz: float


def read_stored_record(path: str, root: Path, leads: tuple[str, ...]) -> StoredRecord:
    """Read the named leads of a recording, in this order.

    Raises
    ------
    BadRecord
        When it cannot be read, or not be stored without loss.
    """
    return store_record(read_recording(root / path, leads, root=root))


def store_record(record: Record) -> StoredRecord:
    """Give a recording as a shard stores it, or raise `BadRecord` where that would lose some."""
    _require_storable(record)
    signal = record.signal.astype(np.int16, copy=False)
    return StoredRecord(signal, record.gain, record.baseline, record.sample_rate)


def _require_storable(record: Record) -> None:
    """Refuse what a shard, or standardizing (a negative gain flips a lead), would spoil."""
    n_samples = record.signal.shape[1]
    if not 0 < n_samples <= MOST_SAMPLES:
        raise BadRecord("bad_length", f"{n_samples} samples; allowed are 1 to {MOST_SAMPLES}")
    if record.signal.dtype != np.int16:
        present = record.signal[record.signal != np.iinfo(record.signal.dtype).min]
        raise BadRecord(
            "samples_exceed_int16", f"samples run from {present.min()} to {present.max()}"
        )
    low, high = SAMPLE_RATES_HZ
    if not low <= record.sample_rate <= high:
        raise BadRecord(
            "bad_sample_rate",
            f"{record.sample_rate:g} Hz; an ECG has {low:g} to {high:g} samples a second",
        )
    if not all(0 < gain < math.inf for gain in record.gain.tolist()):
        raise BadRecord("bad_gain", f"gains are {record.gain.tolist()}; each must be above 0")
    if any(abs(baseline) > _INT32.max for baseline in record.baseline.tolist()):
        raise BadRecord("bad_baseline", f"baselines are {record.baseline.tolist()}")


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
    facts = {
        **_facts_of_shard(records),
        STORED_LEADS: list(leads),
        SIGNAL_QUALITY: quality,
    }
    return ShardTables(
        pa.Table.from_batches(batches, schema=write_facts(shard_schema(leads).arrow, facts)),
        pd.DataFrame(rejects, columns=[column.name for column in REJECTS.columns], dtype=str),
    )


def _facts_of_shard(records: pd.DataFrame) -> dict[str, Any]:
    """Say of which source and recordings a shard is; other recordings do not make it another."""
    known = known_facts(records)
    facts = {name: known[name] for name in (SOURCE, SOURCE_SETTINGS) if name in known}
    return {**facts, SHARD_RECORDS: fingerprint_records(records)} if facts else {}


def fingerprint_records(records: pd.DataFrame) -> str:
    """Fingerprint of which recordings a shard is made of: their names and files."""
    ordered = records.sort_values("record_id")
    return fingerprint_json([ordered["record_id"].tolist(), ordered["path"].tolist()])


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
    except MemoryError:
        return BadRecord("unreadable", "there is not enough memory on this machine to read it")


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
