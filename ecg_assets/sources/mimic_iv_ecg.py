"""MIMIC-IV-ECG v1.0 as PhysioNet lays it out (https://doi.org/10.13026/4nqg-sb35)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.sources.csv_table import read_csv_table
from ecg_assets.sources.demographics import parse_times
from ecg_assets.sources.mimic_patients import read_demographics
from ecg_assets.sources.mimic_reports import read_mimic_reports
from ecg_assets.sources.shard_keys import shards_of_numbered_folders
from ecg_assets.sources.source import SourceTable
from ecg_assets.sources.unique_rows import drop_repeated_rows

RECORD_LIST_FILE = "record_list.csv"
REPORTS_FILE = "machine_measurements.csv"


@dataclass(frozen=True)
class MimicIvEcg:
    """The dataset below `root`.

    Attributes
    ----------
    root
        Folder with record_list.csv, machine_measurements.csv and files/.
    name
        Stored as each record's source.
    folders_per_shard
        Neighbouring folders pNNNN in one shard; runs start at multiples of it.
    """

    root: Path
    name: str = "mimic-iv-ecg"
    folders_per_shard: int = 20

    def __post_init__(self) -> None:
        if self.folders_per_shard < 1:
            raise SettingsError(
                f"ECG_FOLDERS_PER_SHARD is {self.folders_per_shard}; it must be 1 or more."
            )

    def read_records(self) -> SourceTable:
        """Read record_list.csv, and age and sex where MIMIC-IV's patients table is found.

        Raises
        ------
        SchemaError
            When a table cannot be read, a path leaves the root, or two rows of one study differ.
        SettingsError
            When there would be 100 shards or more.
        """
        path = self.root / RECORD_LIST_FILE
        raw = read_csv_table(path, ("subject_id", "study_id", "ecg_time", "path"))
        _require_filled(raw, ("subject_id", "study_id", "path"), path)
        raw, n_repeated = drop_repeated_rows(raw, "study_id", path)
        folders = _find_folders(raw["path"], path)
        table = raw.to_pandas()
        records = pd.DataFrame(
            {
                "record_id": "mimic_iv_ecg_" + table["study_id"],
                "source": self.name,
                "shard": shards_of_numbered_folders(folders, self.folders_per_shard),
                "subject_id": table["subject_id"],
                "study_id": table["study_id"],
                # In the patient's shifted time.
                "ecg_time": parse_times(table["ecg_time"]),
                "path": table["path"].str.replace(r"\.(?:hea|dat)$", "", regex=True),
            }
        )
        demographics, found = read_demographics(
            self.root, records["subject_id"], records["ecg_time"]
        )
        records = records.assign(age=demographics["age"], sex=demographics["sex"])
        return SourceTable(
            records.sort_values(["shard", "record_id"], ignore_index=True),
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "duplicate_study_ids": n_repeated,
                "records_without_time": int(records["ecg_time"].isna().sum()),
                **found,
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read machine_measurements.csv, joined by study_id.

        Raises
        ------
        SchemaError
            When the table cannot be read, or two rows of one study differ.
        """
        return read_mimic_reports(self.root / REPORTS_FILE, records)


def _require_filled(table: pa.Table, names: tuple[str, ...], path: Path) -> None:
    for name in names:
        if table[name].null_count:
            row = pc.index(pc.is_null(table[name]), True).as_py() + 1
            count = table[name].null_count
            raise SchemaError(f"{path}: {name} is empty in {count} rows, first in data row {row}.")


def _find_folders(paths: pa.ChunkedArray, path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Read the number of each path's folder pNNNN, and refuse a path that leaves the root."""
    # The message names rows only: a path holds the patient's id.
    outside = pc.match_substring_regex(paths, r"^/|^[A-Za-z]:|\\|(?:^|/)\.\.(?:/|$)|\x00")
    if pc.any(outside).as_py():
        raise SchemaError(
            f"{path}: {pc.sum(outside).as_py()} paths leave the dataset's root (absolute, '..' or "
            f"a backslash), first in data row {pc.index(outside, True).as_py() + 1}."
        )
    found = pc.struct_field(pc.extract_regex(paths, r"(?:^|/)p(?P<n>\d{4})/"), "n")
    if found.null_count:
        row = pc.index(pc.is_null(found), True).as_py() + 1
        raise SchemaError(
            f"{path}: {found.null_count} paths are in no folder pNNNN, first in data row {row}; "
            "expected files/pNNNN/pNNNNNNNN/sNNNNNNNN/NNNNNNNN."
        )
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]] = found.cast(pa.int64()).to_numpy()
    return numbers
