"""A shard as .mat files, one folder a shard, as fairseq-signals or the Lead-I pipeline has them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_assets.errors import SchemaError
from ecg_assets.preprocess.mat_file import write_mat
from ecg_assets.preprocess.mat_form import MatForm
from ecg_assets.preprocess.mat_layout import fairseq_files, reference_files
from ecg_assets.preprocess.mat_meta import MAT_META, describe_recordings
from ecg_assets.preprocess.mat_recording import MatRecording, standardized_recordings
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.storage import replace_folder
from ecg_assets.tables import Column, TableSchema

MAT_FILES = TableSchema(
    "mat_files",
    (
        Column("record_id", pa.string(), "the recording, as in record_list"),
        Column("segment", pa.int32(), "position of the segment in the recording, from 0"),
        Column("file", pa.string(), "path of the .mat file below this folder"),
        Column("n_samples", pa.int32(), "samples of each channel in the file"),
        Column("row", pa.int64(), "the file's idx: its row in y.npy"),
    ),
)

_FILES, _META = "mat_files.parquet", "mat_meta.parquet"
_SPEC, _FORM = "signal_spec.json", "mat_form.json"


@dataclass(frozen=True)
class MatFolder:
    """What a shard's folder of .mat files holds.

    Attributes
    ----------
    files
        Its segments, as `MAT_FILES` declares.
    meta
        Its recordings, as `MAT_META` declares.
    spec, form
        What they were exported with.
    """

    files: pd.DataFrame
    meta: pd.DataFrame
    spec: SignalSpec
    form: MatForm


def export_mat_records(
    signals: pa.Table,
    spec: SignalSpec,
    records: pd.DataFrame,
    folder: Path,
    *,
    form: MatForm | None = None,
) -> pd.DataFrame:
    """Write a shard's recordings as .mat files (version 5).

    `fairseq_files` and `reference_files` say what they are called and hold. ``feats`` is
    float32 ``(spec.n_channels, sample)``, standardized over the recording.

    Parameters
    ----------
    signals
        Table as `shard_schema` declares, with the leads of the spec.
    spec
        How to standardize, cut and repeat.
    records
        ``record_id``, ``study_id`` and ``row``: the recording's row in the record list.
    folder
        Replaced as a whole; `read_mat_folder` reads its list of files and its spec.
    form
        Layout and packing; `MatForm()` by default.

    Returns
    -------
    DataFrame
        The segments, as `MAT_FILES` declares; recordings shorter than a segment have none.

    Raises
    ------
    SchemaError
        When `records` lacks a recording, or the layout needs numbers for study_id.
    """
    form = form or MatForm()
    numbers = _number_recordings(signals["record_id"].to_pylist(), records)
    recordings = standardized_recordings(signals, spec, numbers, keep_missing=form.keep_missing)
    with replace_folder(folder) as temporary:
        written = [row for one in recordings for row in _write(one, spec, form, temporary)]
        names = [column.name for column in MAT_FILES.columns]
        files = MAT_FILES.from_pandas(pd.DataFrame(sorted(written), columns=names))
        pq.write_table(files, temporary / _FILES)
        meta = MAT_META.from_pandas(describe_recordings(signals, spec.leads))
        pq.write_table(meta, temporary / _META)
        (temporary / _SPEC).write_text(json.dumps(spec.to_json(), indent=1), encoding="utf-8")
        (temporary / _FORM).write_text(json.dumps(asdict(form), indent=1), encoding="utf-8")
    frame: pd.DataFrame = files.to_pandas()
    return frame


def read_mat_folder(folder: Path) -> MatFolder:
    """Read which .mat files a shard's folder holds, and what they were exported with.

    Raises
    ------
    SchemaError
        When the folder was exported by an older version.
    """
    if not (folder / _FORM).is_file():
        raise SchemaError(f"{folder} lacks {_FORM}. Materialize mat_records for this shard again.")
    return MatFolder(
        files=MAT_FILES.require(pq.read_table(folder / _FILES)).to_pandas(),
        meta=MAT_META.require(pq.read_table(folder / _META)).to_pandas(),
        spec=SignalSpec.from_json(json.loads((folder / _SPEC).read_text(encoding="utf-8"))),
        form=MatForm(**json.loads((folder / _FORM).read_text(encoding="utf-8"))),
    )


def _number_recordings(record_ids: list[str], records: pd.DataFrame) -> pd.DataFrame:
    """Give ``study_id`` and ``row`` of these recordings, by ``record_id``."""
    numbers = records.set_index("record_id")[["study_id", "row"]]
    lacking = [name for name in record_ids if name not in numbers.index]
    if lacking:
        raise SchemaError(
            f"{len(lacking)} of {len(record_ids)} recordings of this shard have no row in the "
            f"record list, first {lacking[0]}. Preprocess the shard again."
        )
    return numbers.loc[record_ids]


def _write(
    recording: MatRecording, spec: SignalSpec, form: MatForm, folder: Path
) -> list[tuple[str, int, str, int, int]]:
    """Write a recording's files; return a row of `MAT_FILES` for each segment."""
    lay_out = reference_files if form.layout == "reference" else fairseq_files
    written = []
    for file in lay_out(recording, spec):
        path = folder / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mat(path, file.content, compress=form.compress)
        if file.segment is not None:
            row = int(file.content["idx"])
            n_samples = spec.segment_samples
            written.append((recording.record_id, file.segment, file.name, n_samples, row))
    return written
