"""CODE-15% as Zenodo has it: exams.csv and exams_partN.hdf5 (doi:10.5281/zenodo.4916206)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.sources.csv_table import read_csv_table
from ecg_assets.sources.demographics import parse_ages, parse_sexes
from ecg_assets.sources.schema import CODE_15, MEASUREMENTS, NO_LABEL
from ecg_assets.sources.source import SourceTable
from ecg_assets.sources.table_cells import refuse_cells, require_filled
from ecg_assets.sources.unique_rows import drop_repeated_rows

EXAMS_FILE = "exams.csv"
LABEL_COLUMNS = ("1dAVb", "RBBB", "LBBB", "SB", "ST", "AF", "normal_ecg")

_SEX = {"true": "M", "1": "M", "false": "F", "0": "F"}
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Code15:
    """The dataset below `root`: exams.csv, and beside it the .hdf5 files, unzipped.

    Part of them is enough: an exam whose file is not there is rejected by preprocessing.
    """

    root: Path
    name: str = "code-15"

    def read_records(self) -> SourceTable:
        """Read exams.csv; each .hdf5 file is a shard.

        Raises
        ------
        SchemaError
            When the table cannot be read, a cell is not what its column needs, or two rows
            of one exam differ.
        """
        table = self._read_exams("patient_id", "trace_file", optional=("age", "is_male"))
        path = self.root / EXAMS_FILE
        require_filled(table, ("patient_id", "trace_file"), path)
        is_file = table["trace_file"].str.fullmatch(r"\w[\w.-]*\.hdf5")
        refuse_cells(~is_file, path, "trace_file", "is no name like exams_part0.hdf5")
        ages, n_out_of_range = parse_ages(table["age"])
        record_ids = _record_ids(table)
        files = table["trace_file"].unique()
        records = pd.DataFrame(
            {
                "record_id": record_ids,
                "source": self.name,
                "shard": table["trace_file"].str.removesuffix(".hdf5"),
                "subject_id": table["patient_id"],
                "study_id": table["exam_id"],
                "ecg_time": np.datetime64("NaT", "us"),
                "path": table["trace_file"] + "#" + table["exam_id"],
                "age": ages,
                "sex": parse_sexes(table["is_male"], _SEX),
            }
        )
        return SourceTable(
            records.sort_values(["shard", "record_id"], ignore_index=True),
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "missing_trace_files": sum(not (self.root / file).is_file() for file in files),
                "ages_out_of_range": n_out_of_range,
                "records_without_age": int(records["age"].isna().sum()),
                "records_without_sex": int(records["sex"].isna().sum()),
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the names of each exam's columns that are true; of an exam without, `NO_LABEL`.

        Raises
        ------
        SchemaError
            When the table cannot be read, or a cell is neither true nor false.
        """
        table = self._read_exams(*LABEL_COLUMNS)
        is_true = pd.DataFrame({c: table[c].str.lower().map(_TRUTH) for c in LABEL_COLUMNS})
        for column in LABEL_COLUMNS:
            path = self.root / EXAMS_FILE
            refuse_cells(is_true[column].isna(), path, column, "is neither True nor False")
        names = np.array(LABEL_COLUMNS, dtype=object)
        found = [names[row].tolist() or [NO_LABEL] for row in is_true.to_numpy(dtype=bool)]
        lines_of = dict(zip(_record_ids(table), found, strict=True))
        lines = [lines_of.get(record_id, []) for record_id in records["record_id"]]
        reports = pd.DataFrame(
            {
                "record_id": records["record_id"].to_numpy(),
                "coding": CODE_15,
                "lines": pd.Series(lines, dtype=object),
                **dict.fromkeys(MEASUREMENTS, np.nan),
            }
        )
        return SourceTable(
            reports,
            {
                "records": len(reports),
                "records_without_report": sum(not line for line in lines),
                "records_without_label": sum(line == [NO_LABEL] for line in lines),
            },
        )

    def _read_exams(self, *columns: str, optional: tuple[str, ...] = ()) -> pd.DataFrame:
        """Read columns of the table, one row an exam; all is None where one is missing."""
        path = self.root / EXAMS_FILE
        raw = read_csv_table(path, ("exam_id", *columns), optional=optional)
        raw, _ = drop_repeated_rows(raw, "exam_id", path)
        table: pd.DataFrame = raw.to_pandas()
        refuse_cells(~table["exam_id"].str.fullmatch(r"\d+").eq(True), path, "exam_id", "is no id")
        return table.reindex(columns=["exam_id", *columns, *optional])


def _record_ids(table: pd.DataFrame) -> pd.Series[str]:
    """Names as ECG-FM's own preprocessing gives them."""
    return "code_15_" + table["exam_id"]
