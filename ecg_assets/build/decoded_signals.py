"""Decode the recordings of an index from their shards into one flat array on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ecg_assets.build.missing_samples import find_missing_samples
from ecg_assets.errors import SchemaError
from ecg_assets.preprocess import read_shard
from ecg_assets.preprocess.shard_file import require_columns
from ecg_assets.preprocess.shard_signals import lead_samples

_RECORDS_PER_BATCH = 256  # a shard's row group: what is in memory at a time

SAMPLES, OFFSETS, RATES = "samples.npy", "offsets.npy", "sample_rates_hz.npy"


def decode_signals(
    index: pd.DataFrame, shard_folder: Path, leads: Sequence[str], folder: Path
) -> None:
    """Write the stored integers of all recordings of an index.

    ``samples.npy`` is int16 ``(all samples,)``: recording after recording in the order of
    the index, lead after lead. ``offsets.npy`` is int64 ``(record + 1,)``: where each
    recording starts. ``sample_rates_hz.npy`` is float64 ``(record,)``.

    Raises
    ------
    SchemaError
        When shards do not hold what the index says, or lack a lead.
    """
    missing = find_missing_samples(index, shard_folder)
    if len(missing) or index["record_id"].duplicated().any() or index.empty:
        raise SchemaError(
            f"{len(missing)} of {len(index)} recordings of the manifest, which must be distinct "
            f"and at least one, are not in {shard_folder} where it says. "
            "Build the manifests again."
        )
    rows_of_shard = {str(shard): rows for shard, rows in index.groupby("shard").indices.items()}
    stored_rows = index["row"].to_numpy()
    n_samples, rates = np.zeros(len(index), np.int64), np.zeros(len(index))
    for shard, rows in rows_of_shard.items():
        path = shard_folder / f"{shard}.parquet"
        table = read_shard(path, columns=["n_samples", "sample_rate_hz"])
        n_samples[rows] = table["n_samples"].to_numpy()[stored_rows[rows]]
        rates[rows] = table["sample_rate_hz"].to_numpy()[stored_rows[rows]]
    offsets = np.concatenate([[0], np.cumsum(n_samples * len(leads))])
    samples = np.lib.format.open_memmap(
        folder / SAMPLES, mode="w+", dtype=np.int16, shape=(int(offsets[-1]),)
    )
    for shard, rows in rows_of_shard.items():
        start_of_row = dict(zip(stored_rows[rows].tolist(), offsets[rows].tolist(), strict=True))
        _decode_shard(shard_folder / f"{shard}.parquet", leads, start_of_row, samples)
    samples.flush()
    np.save(folder / OFFSETS, offsets)
    np.save(folder / RATES, rates)


def _decode_shard(
    path: Path, leads: Sequence[str], start_of_row: dict[int, int], samples: NDArray[np.int16]
) -> None:
    """Put the wanted rows of a shard where they start in `samples`."""
    columns = [f"lead_{lead}" for lead in leads]
    row = 0
    with pq.ParquetFile(path) as file:
        require_columns(file, columns, path)
        for batch in file.iter_batches(_RECORDS_PER_BATCH, columns=["n_samples", *columns]):
            lengths = batch["n_samples"].to_pylist()
            values = [lead_samples(batch[name]) for name in columns]
            at = 0
            for length in lengths:
                start = start_of_row.get(row)
                if start is not None:
                    for number, flat in enumerate(values):
                        first = start + number * length
                        samples[first : first + length] = flat[at : at + length]
                at += length
                row += 1
