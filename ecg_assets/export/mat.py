"""A shard as .mat files, one folder a shard, as fairseq-signals or the Lead-I pipeline has them."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io

from ecg_assets.errors import SchemaError
from ecg_assets.export.mat_layout import (
    MAT_META,
    MatRecording,
    describe_recordings,
    fairseq_files,
    reference_files,
    standardized_recordings,
)
from ecg_assets.preprocess.signal_spec import SignalSpec
from ecg_assets.storage import replace_folder
from ecg_assets.tables import Column, TableSchema

# One .mat file (MATLAB version 5) whose bytes depend on its content alone.


_HEADER = b"MATLAB 5.0 MAT-file, written by ecg-assets".ljust(116)
"""The header's free text; scipy's own holds the time, and a rerun must give the same bytes."""


def write_mat(path: Path, content: dict[str, Any], *, compress: bool) -> None:
    """Write variables in their order; a scalar is 1 × 1 when read back."""
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, content, do_compression=compress)
    with path.open("wb") as file:
        file.write(_HEADER)
        file.write(buffer.getbuffer()[len(_HEADER) :])


# Which .mat files an export writes: the choices that are not about the signal.


MatLayout = Literal["fairseq", "reference"]
"""``fairseq``: fairseq-signals' own segments; ``reference``: the Lead-I pipeline's files."""


MatRows = Literal["record_list", "dataset"]
"""What ``idx`` counts: rows of our record list, or of the dataset's own."""


@dataclass(frozen=True)
class MatForm:
    """How .mat files are named, filled and packed.

    Attributes
    ----------
    layout
        Names, keys and the meaning of ``idx``: see `MatLayout` and `mat_layout`.
    compress
        Whether a file is deflated, as version 5 allows; the reference systems' are not.
    keep_missing
        Leave missing samples NaN, as the Lead-I pipeline does, rather than 0. Only for its
        layout: fairseq-signals drops such recordings.
    rows
        Which list ``idx`` is the row of; the Lead-I pipeline's layout knows ours alone.
    """

    layout: MatLayout = "fairseq"
    compress: bool = True
    keep_missing: bool = False
    rows: MatRows = "record_list"

    def __post_init__(self) -> None:
        if self.layout not in get_args(MatLayout):
            raise ValueError(f"layout is {self.layout!r}; allowed: {get_args(MatLayout)}.")
        if self.keep_missing and self.layout != "reference":
            raise ValueError(
                f"keep_missing is True for layout {self.layout!r}; only 'reference' keeps NaN."
            )
        if self.rows not in get_args(MatRows) or (
            self.rows == "dataset" and self.layout != "fairseq"
        ):
            raise ValueError(
                f"idx is {self.rows!r} for layout {self.layout!r}; allowed: {get_args(MatRows)}, "
                "the latter for layout 'fairseq' alone."
            )

    def to_json(self) -> dict[str, Any]:
        """Give the fields by name; `rows` where it is not what it was before there was a choice."""
        fields = asdict(self)
        if self.rows == "record_list":
            del fields["rows"]
        return fields


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
        ``record_id``, ``study_id`` and ``row``: the recording's row in the list of `form`.
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
        (temporary / _FORM).write_text(json.dumps(form.to_json(), indent=1), encoding="utf-8")
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
