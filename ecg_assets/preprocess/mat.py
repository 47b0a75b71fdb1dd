"""Segments as .mat files, one folder a shard, as fairseq-signals reads them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io

from ecg_assets.errors import SchemaError
from ecg_assets.preprocess.segment import project_channels, segment
from ecg_assets.preprocess.shard_signals import SignalBlock, signal_blocks
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.preprocess.standardize import standardize
from ecg_assets.storage import replace_folder
from ecg_assets.tables import Column, TableSchema

MAT_FILES = TableSchema(
    "mat_files",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("segment", pa.int32(), "position of the segment in the recording, from 0"),
        Column("file", pa.string(), "name of the .mat file in this folder"),
        Column("n_samples", pa.int32(), "samples of each channel in the file"),
        Column("row", pa.int64(), "the file's idx: the recording's row in y.npy"),
    ),
)

_FILES, _SPEC = "mat_files.parquet", "signal_spec.json"

_HEADER = b"MATLAB 5.0 MAT-file, written by ecg-assets".ljust(116)
"""The header's free text; scipy's own holds the time, and a rerun must give the same bytes."""


def export_mat_records(
    signals: pa.Table, spec: SignalSpec, row_of_record: Mapping[str, int], folder: Path
) -> pd.DataFrame:
    """Write each segment of a shard's recordings as a compressed .mat (version 5) file.

    A file is named ``<record_id>_<segment>.mat``, or ``<record_id>.mat`` where a segment
    is the whole recording. It holds ``feats`` (float32 ``(spec.n_channels, sample)``,
    standardized, missing samples 0), ``curr_sample_rate`` and ``org_sample_rate``
    (float64), ``curr_sample_size``, ``org_sample_size``, ``idx`` and ``segment_i``
    (int64), each of these as 1 × 1.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares, with the leads of the spec.
    spec
        How to standardize, cut and repeat.
    row_of_record
        ``idx`` of each recording: its row in ``y.npy``.
    folder
        Replaced as a whole; `read_mat_files` reads its list of files and its spec.

    Returns
    -------
    DataFrame
        The files, as `MAT_FILES` declares; recordings shorter than a segment have none.

    Raises
    ------
    SchemaError
        When `row_of_record` lacks a recording.
    """
    record_ids = signals["record_id"].to_pylist()
    lacking = [name for name in record_ids if name not in row_of_record]
    if lacking:
        raise SchemaError(
            f"{len(lacking)} of {len(record_ids)} recordings of this shard have no row in the "
            f"record list, first {lacking[0]}. Preprocess the shard again."
        )
    written: list[tuple[str, int, str, int, int]] = []
    with replace_folder(folder) as temporary:
        for block in signal_blocks(signals, spec.leads):
            written += _write_block(block, spec, record_ids, row_of_record, temporary)
        names = [column.name for column in MAT_FILES.columns]
        files = MAT_FILES.from_pandas(pd.DataFrame(sorted(written), columns=names))
        pq.write_table(files, temporary / _FILES)
        (temporary / _SPEC).write_text(json.dumps(spec.to_json(), indent=1), encoding="utf-8")
    frame: pd.DataFrame = files.to_pandas()
    return frame


def read_mat_files(folder: Path) -> tuple[pd.DataFrame, SignalSpec]:
    """Read which .mat files a shard's folder holds, and the spec that they follow."""
    spec = SignalSpec.from_json(json.loads((folder / _SPEC).read_text(encoding="utf-8")))
    return MAT_FILES.require(pq.read_table(folder / _FILES)).to_pandas(), spec


def _write_block(
    block: SignalBlock,
    spec: SignalSpec,
    record_ids: list[str],
    row_of_record: Mapping[str, int],
    folder: Path,
) -> list[tuple[str, int, str, int, int]]:
    """Write the recordings of a block; return a row of `MAT_FILES` for each file."""
    segments = segment(standardize(block.samples, block.sample_rate_hz, spec), spec)
    is_whole = spec.segment_samples == spec.record_samples
    written = []
    for row, of_record in zip(block.rows, segments, strict=True):
        record_id = record_ids[row]
        for number, leads in enumerate(of_record):  # (lead, sample)
            name = f"{record_id}.mat" if is_whole else f"{record_id}_{number}.mat"
            content = {
                "feats": project_channels(leads, spec.n_channels),
                "curr_sample_rate": np.float64(spec.sample_rate_hz),
                "org_sample_rate": np.float64(block.sample_rate_hz),
                "curr_sample_size": np.int64(spec.segment_samples),
                "org_sample_size": np.int64(block.samples.shape[-1]),
                "idx": np.int64(row_of_record[record_id]),
                "segment_i": np.int64(number),
            }
            _write_mat(folder / name, content)
            row_in_y = row_of_record[record_id]
            written.append((record_id, number, name, spec.segment_samples, row_in_y))
    return written


def _write_mat(path: Path, content: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content, do_compression=True)
    with path.open("wb") as file:
        file.write(_HEADER)
        file.write(buffer.getbuffer()[len(_HEADER) :])
