"""CODE-test as Zenodo has it: 827 exams without numbers or patients (doi:10.5281/zenodo.3765780).

The i-th row of each table is of the i-th tracing, and nothing else joins them. It is all test
set: that of https://doi.org/10.1038/s41467-020-15432-4, whose training data CODE-15% is a part of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import SchemaError
from ecg_assets.sources.code_15 import NAME as CODE_15
from ecg_assets.sources.dataset import (
    Dataset,
    Folds,
    Remote,
    SourceTable,
    record_table,
    report_table,
)
from ecg_assets.sources.dataset_tables import parse_demographics, parse_truths, read_csv_table
from ecg_assets.sources.record import Record
from ecg_assets.sources.schema import NO_LABEL, measured_line
from ecg_assets.sources.tracings import read_row, require_rows

NAME = "code-test"
TRACINGS_FILE = "ecg_tracings.hdf5"
ATTRIBUTES_FILE = "attributes.csv"
GOLD_FILE = "annotations/gold_standard.csv"
LABEL_COLUMNS = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")

LEADS = ("I", "II", "III", "aVL", "aVF", "aVR", "V1", "V2", "V3", "V4", "V5", "V6")
"""Order in the file: aVR stands last of the limb leads, other than in CODE-15%.

vlbthambawita/ECGBench (data/configs/code_test.yaml) has it from the arrays: channels 3, 4 and 5
are I − II/2, II − I/2 and −(I + II)/2 to 2.3 %.
"""

_NOT_ANNOTATED = measured_line("normal_ecg", None)
"""The one column of CODE-15% that is not here: without any of the others no exam is normal."""

_TEST = 1


@dataclass(frozen=True)
class CodeTest:
    """The dataset below `root`: ecg_tracings.hdf5, attributes.csv and the folder annotations.

    That is the folder ``data`` of the archive. There are no patients in it; the authors say that
    the exams are of different ones, and each is a patient of its own here.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read attributes.csv; an exam is named by its row, from 0.

        Raises
        ------
        SchemaError
            When the table cannot be read, or has another number of rows than the annotations or
            the tracings.
        """
        path = self.root / ATTRIBUTES_FILE
        table = read_csv_table(path, ("age", "sex")).to_pandas()
        require_rows(self.root / TRACINGS_FILE, len(table), path)
        self._require_annotated(len(table))
        known = parse_demographics(table["age"], table["sex"])
        records = record_table(
            self.name,
            _record_ids(len(table)),
            path=[f"{TRACINGS_FILE}#{row}" for row in range(len(table))],
            shard=["ecg_tracings"] * len(table),
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(
            records,
            {"records": len(records), "records_without_patient": len(records), **known.findings},
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the names of each exam's columns of the gold standard that are true.

        Two cardiologists read each exam, and a third where they differed. An exam without any has
        `NO_LABEL`. Whether an exam is normal nobody said, other than in CODE-15%: each has a line
        for that.

        Raises
        ------
        SchemaError
            When the table cannot be read, or a cell is neither true nor false.
        """
        path = self.root / GOLD_FILE
        table = read_csv_table(path, LABEL_COLUMNS).to_pandas()
        names = np.array(LABEL_COLUMNS, dtype=object)
        is_true = parse_truths(table, LABEL_COLUMNS, path)
        found = [[*(names[row].tolist() or [NO_LABEL]), _NOT_ANNOTATED] for row in is_true]
        lines_of = dict(zip(_record_ids(len(table)), found, strict=True))
        n_without = int((~is_true.any(axis=1)).sum())
        return report_table(records, CODE_15, lines_of, records_without_label=n_without)

    def read_folds(self) -> pd.Series[int]:
        """Give the fold of each exam, which is the one of the test set, by record_id."""
        table = read_csv_table(self.root / ATTRIBUTES_FILE, ("age",))
        index = pd.Index(_record_ids(len(table)), name="record_id")
        return pd.Series(_TEST, index=index, dtype="int64", name="fold")

    def _require_annotated(self, n_records: int) -> None:
        path = self.root / GOLD_FILE
        n_annotated = len(read_csv_table(path, LABEL_COLUMNS))
        if n_annotated != n_records:
            raise SchemaError(
                f"{path} has {n_annotated} rows, {ATTRIBUTES_FILE} {n_records}. The i-th row of "
                "both is of the i-th tracing, and nothing else joins them: download both anew."
            )


def _record_ids(n_records: int) -> pd.Series[str]:
    return pd.Series([f"code_test_{row:03d}" for row in range(n_records)], dtype=str)


def read_tracing(path: Path, row: str, leads: Sequence[str] | None = None) -> Record:
    """Read an exam of ecg_tracings.hdf5, as `ecg_assets.sources.tracings.read_row` does."""
    return read_row(path, row, leads, LEADS)


CODE_TEST = Dataset(
    name=NAME,
    title="CODE-test",
    open=CodeTest,
    coding=CODE_15,
    needed_files=(GOLD_FILE, ATTRIBUTES_FILE),
    remote=Remote.HEADERS,  # the annotations lie in a folder
    readers={TRACINGS_FILE: read_tracing},
    folds=Folds(read=CodeTest.read_folds, train=(), valid=(), test=(_TEST,)),
)
