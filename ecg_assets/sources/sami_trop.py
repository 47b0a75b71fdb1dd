"""SaMi-Trop as Zenodo has it: exams.csv and exams.hdf5 (doi:10.5281/zenodo.4905618).

1,631 patients with chronic Chagas cardiomyopathy, the first exam of each. exams.hdf5 has no
numbers of exams: the i-th row of exams.csv is of the i-th tracing. vlbthambawita/ECGBench
(labels/sami_trop.py) tested that: the QRS complexes of rows that say male are higher, as men's
are, and no permutation of the rows makes the difference as large.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecg_assets.sources.code_15 import EXAMS_FILE, IS_MALE
from ecg_assets.sources.dataset import Dataset, SourceTable, record_table, report_table
from ecg_assets.sources.dataset_tables import (
    parse_demographics,
    parse_truths,
    read_csv_table,
    refuse_cells,
    unify_identifiers,
)
from ecg_assets.sources.schema import OWN_LABELS
from ecg_assets.sources.tracings import read_row, require_rows

NAME = "sami-trop"
TRACINGS_FILE = "exams.hdf5"
CHAGAS = "chagas"
LABEL_COLUMNS = ("normal_ecg", "death")


@dataclass(frozen=True)
class SamiTrop:
    """The dataset below `root`: exams.csv, and beside it exams.hdf5, unzipped."""

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read exams.csv; each exam is a patient's only one.

        Raises
        ------
        SchemaError
            When the table cannot be read, two rows have one exam, or there are more or fewer rows
            than tracings.
        """
        path = self.root / EXAMS_FILE
        table = self._read_exams("age", "is_male")
        require_rows(self.root / TRACINGS_FILE, len(table), path)
        known = parse_demographics(table["age"], table["is_male"], IS_MALE)
        records = record_table(
            self.name,
            _record_ids(table),
            path=[f"{TRACINGS_FILE}#{row}" for row in range(len(table))],
            shard=["exams"] * len(table),
            study_id=table["exam_id"],
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(records, {"records": len(records), **known.findings})

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the labels of each exam: ``chagas``, which all have, ``normal_ecg``, ``death``.

        A normal exam is one of a patient with Chagas disease, and ``death`` one within the time
        that a patient was followed, 2 years in the median: see the column ``timey``.

        Raises
        ------
        SchemaError
            When the table cannot be read, or a cell is neither true nor false.
        """
        table = self._read_exams(*LABEL_COLUMNS)
        is_true = parse_truths(table, LABEL_COLUMNS, self.root / EXAMS_FILE)
        found = [
            [CHAGAS, *(name for name, there in zip(LABEL_COLUMNS, row, strict=True) if there)]
            for row in is_true
        ]
        return report_table(records, OWN_LABELS, dict(zip(_record_ids(table), found, strict=True)))

    def read_label_names(self) -> tuple[str, ...]:
        """Give the names of the labels."""
        return (CHAGAS, *LABEL_COLUMNS)

    def _read_exams(self, *columns: str) -> pd.DataFrame:
        """Read columns, in the table's order: no row may be dropped, not even a repeated one."""
        path = self.root / EXAMS_FILE
        raw = read_csv_table(path, ("exam_id", *columns))
        raw, _ = unify_identifiers(raw, ("exam_id",), path, whole=True)
        table: pd.DataFrame = raw.to_pandas()
        exams = table["exam_id"]
        refuse_cells(exams.isna() | exams.duplicated(), path, "exam_id", "is empty or stands twice")
        return table


def _record_ids(table: pd.DataFrame) -> pd.Series[str]:
    return "sami_trop_" + table["exam_id"]


SAMI_TROP = Dataset(
    name=NAME,
    title="SaMi-Trop",
    open=SamiTrop,
    coding=OWN_LABELS,
    needed_files=(EXAMS_FILE,),
    readers={TRACINGS_FILE: read_row},
    read_own_labels=SamiTrop.read_label_names,
)
