"""CODE-15% as Zenodo has it: exams.csv and exams_partN.hdf5 (doi:10.5281/zenodo.4916206)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.dataset import Dataset, SourceTable, record_table, report_table
from ecg_assets.sources.dataset_tables import (
    parse_demographics,
    parse_truths,
    read_keyed_table,
    refuse_cells,
    require_filled,
)
from ecg_assets.sources.hdf5 import open_dataset, open_hdf5
from ecg_assets.sources.record import Record
from ecg_assets.sources.schema import NO_LABEL
from ecg_assets.sources.tracings import (
    LEADS,
    MOST_VALUES,
    read_exam_leads,
    read_tracing,
)

NAME = "code-15"
EXAMS_FILE = "exams.csv"
LABEL_COLUMNS = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF", "normal_ecg")

IS_MALE = {"true": "M", "1": "M", "false": "F", "0": "F"}


@dataclass(frozen=True)
class Code15:
    """The dataset below `root`: exams.csv, and beside it the .hdf5 files, unzipped.

    Part of them is enough: an exam whose file is not there is rejected by preprocessing.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read exams.csv; each .hdf5 file is a shard.

        Raises
        ------
        SchemaError
            When the table cannot be read, a cell is not what its column needs, or two rows
            of one exam differ.
        """
        table, n_spellings = self._read_exams(
            "patient_id", "trace_file", optional=("age", "is_male")
        )
        path = self.root / EXAMS_FILE
        require_filled(table, ("patient_id", "trace_file"), path)
        is_file = table["trace_file"].str.fullmatch(r"\w[\w.-]*\.hdf5")
        refuse_cells(~is_file, path, "trace_file", "is no name like exams_part0.hdf5")
        known = parse_demographics(table["age"], table["is_male"], IS_MALE)
        files = table["trace_file"].unique()
        records = record_table(
            self.name,
            _record_ids(table),
            path=table["trace_file"] + "#" + table["exam_id"],
            shard=table["trace_file"].str.removesuffix(".hdf5"),
            subject_id=table["patient_id"],
            study_id=table["exam_id"],
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(
            records,
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "missing_trace_files": sum(not (self.root / file).is_file() for file in files),
                "ids_in_two_spellings": n_spellings,
                **known.findings,
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the names of each exam's columns that are true; of an exam without, `NO_LABEL`.

        Raises
        ------
        SchemaError
            When the table cannot be read, or a cell is neither true nor false.
        """
        table, _ = self._read_exams(*LABEL_COLUMNS)
        is_true = parse_truths(table, LABEL_COLUMNS, self.root / EXAMS_FILE)
        names = np.array(LABEL_COLUMNS, dtype=object)
        found = [names[row].tolist() or [NO_LABEL] for row in is_true]
        lines_of = dict(zip(_record_ids(table), found, strict=True))
        n_without = sum(lines_of.get(name) == [NO_LABEL] for name in records["record_id"])
        return report_table(records, NAME, lines_of, records_without_label=n_without)

    def _read_exams(
        self, *columns: str, optional: tuple[str, ...] = ()
    ) -> tuple[pd.DataFrame, int]:
        return read_keyed_table(self.root / EXAMS_FILE, "exam_id", columns, optional=optional)


def _record_ids(table: pd.DataFrame) -> pd.Series[str]:
    """Names as ECG-FM's own preprocessing gives them."""
    return "code_15_" + table["exam_id"]


# One exam out of an HDF5 file.


def read_exam(path: Path, exam_id: str, leads: Sequence[str] | None = None) -> Record:
    """Read an exam's leads, without the zeros that pad it to 4096 samples at both ends.

    Parameters
    ----------
    path
        A file with ``exam_id`` ``(exam,)`` and ``tracings`` ``(exam, sample, lead)``, twelve
        leads at 400 Hz.
    exam_id
        Number of the exam.
    leads
        Names of the leads to read, in the order wanted; None for all.

    Raises
    ------
    BadRecord
        ``missing_file``, ``missing_exam``, ``repeated_exam`` (several rows whose tracings
        differ), ``missing_lead``, ``bad_shape``, those of `make_array_record`, or
        ``unreadable`` for all the rest.
    """
    return read_exam_leads(path, leads, LEADS, _read_exam, exam_id)


def _read_exam(path: Path, exam_id: str) -> NDArray[np.floating[Any]]:
    """Read an exam, ``(sample, lead)``, in the child process."""
    rows = _find_rows(str(path), path.stat().st_mtime_ns).get(int(exam_id))
    if rows is None:
        raise BadRecord("missing_exam", f"{path.name} holds no exam {exam_id}")
    with open_hdf5(path) as file:
        tracing = read_tracing(file, rows[0])
        for row in rows[1:]:
            _require_same(tracing, read_tracing(file, row), len(rows))
    return tracing


@lru_cache(maxsize=32)
def _find_rows(path: str, changed: int) -> dict[int, list[int]]:
    """Rows of each exam; kept, because a file has 20,000 of them."""
    with open_hdf5(path) as file:
        exams = open_dataset(file, "exam_id")
        if exams.ndim != 1 or exams.size > MOST_VALUES:
            raise BadRecord("bad_shape", f"exam_id is {exams.shape}; expected one an exam")
        if exams.dtype.kind not in "iuf":
            raise BadRecord("bad_shape", f"exam_id is {exams.dtype}; expected whole numbers"[:200])
        numbers = exams[:]
    if not np.all(numbers == np.round(numbers)):
        raise BadRecord("unreadable", "exam_id holds what is no whole number")
    rows: dict[int, list[int]] = {}
    for row, exam in enumerate(numbers.tolist()):
        rows.setdefault(int(exam), []).append(row)
    return rows


def _require_same(
    tracing: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]], n_rows: int
) -> None:
    if not np.array_equal(tracing, other, equal_nan=True):
        raise BadRecord(
            "repeated_exam", f"the file holds this exam in {n_rows} rows with different tracings"
        )


CODE_15 = Dataset(
    name=NAME,
    title="CODE-15%",
    open=Code15,
    coding=NAME,
    needed_files=(EXAMS_FILE,),
    readers={"hdf5": read_exam},
)
