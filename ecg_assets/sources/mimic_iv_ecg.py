"""MIMIC-IV-ECG v1.0 as PhysioNet lays it out (https://doi.org/10.13026/4nqg-sb35)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import SchemaError
from ecg_assets.sources.csv_table import read_csv_table
from ecg_assets.sources.schema import MEASUREMENTS, REPORT_TEXT
from ecg_assets.sources.shard_keys import require_few_shards, shard_of_folder
from ecg_assets.sources.source import SourceTable

NOT_MEASURED = 29999
"""What the carts write for an interval or axis that they could not measure."""

_RECORDS = ("subject_id", "study_id", "file_name", "ecg_time", "path")
_PATIENTS = ("subject_id", "gender", "anchor_age", "anchor_year")


@dataclass(frozen=True)
class MimicIvEcg:
    """The dataset below `root`; `name` is stored as each record's source."""

    root: Path
    name: str = "mimic-iv-ecg"
    folders_per_shard: int = 20

    def read_records(self) -> SourceTable:
        """Read record_list.csv, with age and sex where patients.csv.gz is found."""
        path = self.root / "record_list.csv"
        raw = read_csv_table(path, _RECORDS, text=("subject_id", "study_id", "path"))
        table, n_repeated = _drop_repeated_studies(raw, path)
        _require_paths_inside(table, path)
        folder = table["path"].str.extract(r"^files/p(\d{4})/", expand=False)
        if folder.isna().any():
            bad = table.loc[folder.isna(), "path"].iloc[0]
            raise SchemaError(f"{path}: path {bad!r} is not below files/pNNNN/.")
        shard = folder.astype(int).map(lambda n: shard_of_folder(n, self.folders_per_shard))
        require_few_shards(shard, advice="Raise ECG_FOLDERS_PER_SHARD.")
        records = pd.DataFrame(
            {
                "record_id": "mimic_iv_ecg_" + table["study_id"],
                "source": self.name,
                "shard": shard,
                "subject_id": table["subject_id"],
                "study_id": table["study_id"],
                "ecg_time": pd.to_datetime(table["ecg_time"], errors="coerce"),
                "path": table["path"],
            }
        )
        records = self._add_demographics(records)
        records = records.sort_values(["shard", "record_id"], ignore_index=True)
        return SourceTable(
            records,
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "repeated_rows_dropped": n_repeated,
                "records_without_age": int(records["age"].isna().sum()),
                "records_without_time": int(records["ecg_time"].isna().sum()),
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read machine_measurements.csv, joined by study_id."""
        path = self.root / "machine_measurements.csv"
        raw = read_csv_table(
            path,
            ("study_id",),
            text=("study_id", *(f"report_{i}" for i in range(18))),
            optional="report_\\d+|" + "|".join(MEASUREMENTS),
        )
        raw, n_repeated = _drop_repeated_studies(raw, path)
        joined = records[["record_id", "study_id"]].merge(
            raw, on="study_id", how="left", validate="one_to_one", indicator=True
        )
        reports = pd.DataFrame(
            {
                "record_id": joined["record_id"],
                "coding": REPORT_TEXT,
                "lines": _collect_lines(joined),
                **{name: _measured(joined, name) for name in MEASUREMENTS},
            }
        )
        without_row = int((joined["_merge"] == "left_only").sum())
        return SourceTable(
            reports,
            {
                "records": len(reports),
                "records_without_report_row": without_row,
                "records_without_text": int((reports["lines"].str.len() == 0).sum()) - without_row,
                "reports_without_record": int((~raw["study_id"].isin(records["study_id"])).sum()),
                "repeated_rows_dropped": n_repeated,
            },
        )

    def _add_demographics(self, records: pd.DataFrame) -> pd.DataFrame:
        """Age = anchor_age + (year of the ECG − anchor_year); both are in shifted time."""
        path = self._find_patients()
        if path is None:
            return records.assign(age=np.nan, sex=None)
        patients = read_csv_table(path, _PATIENTS, text=("subject_id",))
        joined = records[["subject_id"]].merge(
            patients.drop_duplicates(), on="subject_id", how="left", validate="many_to_one"
        )
        year = records["ecg_time"].dt.year
        age = joined["anchor_age"] + (year - joined["anchor_year"])
        return records.assign(
            age=age.to_numpy(dtype=float),
            sex=joined["gender"].where(joined["gender"].isin(["F", "M"]), None),
        )

    def _find_patients(self) -> Path | None:
        """MIMIC-IV's own hosp/patients.csv.gz: in the root, or in a hosp folder beside it."""
        places = (self.root, self.root / "hosp", self.root.parent / "hosp")
        found = (place / "patients.csv.gz" for place in places)
        return next((path for path in found if path.is_file()), None)


def _drop_repeated_studies(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, int]:
    """Drop rows that repeat another one exactly; refuse two different rows of one study."""
    unique = table.drop_duplicates()
    twice = unique["study_id"][unique["study_id"].duplicated()]
    if len(twice):
        raise SchemaError(
            f"{path}: {twice.nunique()} study_ids have rows that differ, first {twice.iloc[0]}. "
            "A study must have one row; remove the wrong ones."
        )
    return unique.reset_index(drop=True), len(table) - len(unique)


def _require_paths_inside(table: pd.DataFrame, path: Path) -> None:
    outside = table["path"].isna() | table["path"].str.contains(r"^/|(?:^|/)\.\.(?:/|$)|\\")
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise SchemaError(
            f"{path}: {int(outside.sum())} paths leave the dataset's root or are empty, first in "
            f"data row {row + 1}: {table['path'].iloc[row]!r}."
        )


def _collect_lines(joined: pd.DataFrame) -> pd.Series:
    """Collect the filled report_0 … report_17 of each row as lists."""
    names = sorted(
        (name for name in joined.columns if str(name).startswith("report_")),
        key=lambda name: int(str(name).split("_")[1]),
    )
    cells = joined[names].fillna("").to_numpy(dtype=object)
    lines = [[text for cell in row if (text := cell.strip())] for row in cells]
    return pd.Series(lines, index=joined.index, dtype=object)


def _measured(joined: pd.DataFrame, name: str) -> pd.Series:
    if name not in joined.columns:
        return pd.Series(np.nan, index=joined.index)
    values = pd.to_numeric(joined[name], errors="coerce")
    return values.where(values != NOT_MEASURED)
