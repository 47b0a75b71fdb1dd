"""Decode the recordings of an index from their shards into one flat array on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.build.builder import find_missing_samples
from ecg_assets.errors import SchemaError
from ecg_assets.preprocess import SignalSpec, read_shard
from ecg_assets.preprocess.blocks import signal_blocks
from ecg_assets.preprocess.model_input import count_standardized, used_part
from ecg_assets.preprocess.shard_store import require_columns
from ecg_assets.preprocess.z_score import integer_scales
from ecg_assets.storage import allocate

_RECORDS_PER_BATCH = 256  # a shard's row group: what is in memory at a time

SAMPLES, OFFSETS, RATES = "samples.npy", "offsets.npy", "sample_rates_hz.npy"
SCALES = "scales.npy"


def decode_signals(
    index: pd.DataFrame,
    shard_folder: Path,
    spec: SignalSpec,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the signals of all recordings of an index, with the leads of the spec.

    ``samples.npy`` is ``(all samples,)``: recording after recording in the order of the
    index, lead after lead; the stored integers (int16), or where the spec needs millivolts
    what `standardize` makes of them (float32). ``offsets.npy`` is int64 ``(record + 1,)``:
    where each recording starts. ``sample_rates_hz.npy`` is float64 ``(record,)``: of the
    samples as they are in this folder. ``scales.npy``, of integers alone, is float32
    ``(record, lead, 3)``: `integer_scales` of the part that the spec uses. `progress` gets
    the number of recordings done, and of all, after each shard.

    Raises
    ------
    SchemaError
        When shards do not hold what the index says, or lack a lead.
    """
    _require_stored(index, shard_folder)
    n_samples, rates = _read_lengths(index, shard_folder)
    n_rows = spec.n_rows if spec.needs_millivolts else len(spec.leads)
    if spec.needs_millivolts:
        n_samples = count_standardized(n_samples, rates, spec)
        rates[:] = spec.sample_rate_hz
    offsets = np.concatenate([[0], np.cumsum(n_samples * n_rows)])
    dtype = np.float32 if spec.needs_millivolts else np.int16
    samples = np.lib.format.open_memmap(
        folder / SAMPLES, mode="w+", dtype=dtype, shape=(int(offsets[-1]),)
    )
    allocate(folder / SAMPLES)
    out = _Out(samples, offsets, np.zeros((len(index), len(spec.leads), 3), np.float32))
    stored_rows, n_done = index["row"].to_numpy(), 0
    for shard, rows in index.groupby("shard").indices.items():
        row_of_stored = dict(zip(stored_rows[rows].tolist(), map(int, rows), strict=True))
        _decode_shard(shard_folder / f"{shard}.parquet", spec, row_of_stored, out)
        n_done += len(rows)
        if progress:
            progress(n_done, len(index))
    samples.flush()
    np.save(folder / OFFSETS, offsets)
    np.save(folder / RATES, rates)
    if not spec.needs_millivolts:
        np.save(folder / SCALES, out.scales)


@dataclass(frozen=True)
class _Out:
    """Where decoded recordings go, by their row in the index."""

    samples: NDArray[Any]
    offsets: NDArray[np.int64]
    scales: NDArray[np.float32]

    def put(self, rows: NDArray[np.int64], block: NDArray[Any]) -> None:
        """Store recordings ``(record, lead, sample)``."""
        for row, record in zip(rows.tolist(), block, strict=True):
            start = self.offsets[row]
            self.samples[start : start + record.size] = record.ravel()


def _require_stored(index: pd.DataFrame, shard_folder: Path) -> None:
    missing = find_missing_samples(index, shard_folder)
    if len(missing) or index["record_id"].duplicated().any() or index.empty:
        raise SchemaError(
            f"{len(missing)} of {len(index)} recordings of the manifest, which must be distinct "
            f"and at least one, are not in {shard_folder} where it says. "
            "Build the manifests again."
        )


def _read_lengths(
    index: pd.DataFrame, shard_folder: Path
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read the samples of a lead and the sample rate of each recording, ``(record,)``."""
    stored_rows = index["row"].to_numpy()
    n_samples, rates = np.zeros(len(index), np.int64), np.zeros(len(index))
    for shard, rows in index.groupby("shard").indices.items():
        path = shard_folder / f"{shard}.parquet"
        table = read_shard(path, columns=["n_samples", "sample_rate_hz"])
        n_samples[rows] = table["n_samples"].to_numpy()[stored_rows[rows]]
        rates[rows] = table["sample_rate_hz"].to_numpy()[stored_rows[rows]]
    return n_samples, rates


def _decode_shard(path: Path, spec: SignalSpec, row_of_stored: dict[int, int], out: _Out) -> None:
    """Decode the wanted rows of a shard, or standardize them where the spec needs millivolts."""
    of_lead = [f"{name}_{lead}" for name in ("lead", "gain", "baseline") for lead in spec.leads]
    first = 0
    with pq.ParquetFile(path) as file:
        require_columns(file, of_lead, path)
        columns = ["n_samples", "sample_rate_hz", *of_lead]
        for batch in file.iter_batches(_RECORDS_PER_BATCH, columns=columns):
            stored = np.arange(first, first + len(batch))
            wanted = np.isin(stored, list(row_of_stored))
            table = pa.Table.from_batches([batch]).filter(pa.array(wanted))
            rows = np.array([row_of_stored[row] for row in stored[wanted].tolist()], np.int64)
            for block in signal_blocks(table, spec.leads):
                at = rows[block.rows]
                if spec.needs_millivolts:
                    out.put(at, block.standardize(spec))
                else:
                    out.put(at, block.samples)
                    out.scales[at] = _measure(block.samples, spec)
            first += len(batch)


def part_samples(spec: SignalSpec) -> tuple[int, int | None]:
    """Give the first sample that is used, and how many, at the spec's own rate; None: all."""
    start = used_part(spec, spec.sample_rate_hz).start
    return start, None if spec.record_s is None else spec.record_samples


def _measure(block: NDArray[np.int16], spec: SignalSpec) -> NDArray[np.float32]:
    """Scales of recordings that have the spec's sample rate, ``(record, lead, 3)``."""
    start, n_samples = part_samples(spec)
    used = block[..., start:] if n_samples is None else block[..., start : start + n_samples]
    leads = used.reshape(block.shape[0] * block.shape[1], -1)
    return integer_scales(leads).reshape(*block.shape[:2], 3)
