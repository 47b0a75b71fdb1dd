"""MIMIC-IV-ECG v1.0 as PhysioNet lays it out (https://doi.org/10.13026/4nqg-sb35)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.sources.dataset import Dataset, SourceTable, record_table
from ecg_assets.sources.dataset_tables import (
    canonical_identifier,
    count_not_understood,
    drop_repeated_rows,
    parse_sexes,
    parse_times,
    read_csv_table,
    refuse_cells,
    require_below_root,
    shards_of_numbered_folders,
    unify_identifiers,
)
from ecg_assets.sources.schema import MEASUREMENT_BOUNDS, MEASUREMENTS, REPORT_TEXT

# Age and sex of MIMIC's patients, where MIMIC-IV's own patients table is at hand.


_OLDEST = 120


def find_patients_table(root: Path) -> Path | None:
    """Find patients.csv.gz or patients.csv of MIMIC-IV, which MIMIC-IV-ECG comes without.

    Looked for, in this order: in the root, in its folder hosp, in a folder hosp beside the
    root, and where ``wget -r`` from PhysioNet puts it: mimiciv/<version>/hosp beside
    mimic-iv-ecg, the highest version first.
    """
    download = root.parent.parent / "mimiciv"
    folders = [root, root / "hosp", root.parent / "hosp"]
    folders += [folder / "hosp" for folder in newest_first(download)]
    places = (folder / name for folder in folders for name in ("patients.csv.gz", "patients.csv"))
    return next((place for place in places if place.is_file()), None)


def read_demographics(
    root: Path, subject_ids: pd.Series[str], times: pd.Series[pd.Timestamp]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Read age at the recording and sex of each record; null where unknown.

    Age is anchor_age + (year of the recording − anchor_year), both in the patient's shifted
    time, so it is right to one year; MIMIC-IV writes 91 for every age above 89.

    Returns
    -------
    tuple
        Columns ``age`` and ``sex`` (F, M), rows as given; and counts.

    Raises
    ------
    SchemaError
        When the table cannot be read, or two rows of one patient differ.
    """
    path = find_patients_table(root)
    if path is None:
        unknown = pd.DataFrame({"age": np.nan, "sex": None}, index=subject_ids.index)
        return unknown, {
            "patients_tables": 0,
            "records_without_age": len(unknown),
            "records_without_sex": len(unknown),
        }
    raw = read_csv_table(path, ("subject_id", "gender", "anchor_age", "anchor_year"))
    raw, _ = unify_identifiers(raw, ("subject_id",), path, whole=True)
    raw, _ = drop_repeated_rows(raw, "subject_id", path)
    joined = subject_ids.to_frame("subject_id").merge(
        raw.to_pandas(), on="subject_id", how="left", validate="many_to_one"
    )
    anchor_age, anchor_year = (
        pd.to_numeric(joined[name], errors="coerce").to_numpy(dtype=float)
        for name in ("anchor_age", "anchor_year")
    )
    age = anchor_age + (times.dt.year.to_numpy(dtype=float) - anchor_year)
    sex = parse_sexes(joined["gender"])
    result = pd.DataFrame(
        {
            "age": np.where((age >= 0) & (age <= _OLDEST), age, np.nan),
            "sex": sex.to_numpy(dtype=object),
        },
        index=subject_ids.index,
    )
    return result, {
        "patients_tables": 1,
        "ages_not_understood": sum(
            count_not_understood(joined[name], pd.to_numeric(joined[name], errors="coerce").notna())
            for name in ("anchor_age", "anchor_year")
        ),
        "sexes_not_understood": count_not_understood(joined["gender"], sex.notna()),
        "ages_out_of_range": int(np.isfinite(age).sum() - result["age"].notna().sum()),
        "records_without_age": int(result["age"].isna().sum()),
        "records_without_sex": int(result["sex"].isna().sum()),
    }


def newest_first(folder: Path) -> list[Path]:
    """List the folders of a download, which are named by versions, the highest first."""
    return sorted(folder.glob("*"), key=lambda found: _version(found.name), reverse=True)


def _version(name: str) -> list[int]:
    """Sort key of a version.

    >>> _version("3.10") > _version("3.2")
    True
    """
    return [int(part) if part.isdecimal() else -1 for part in name.split(".")]


# MIMIC-IV-ECG's machine_measurements.csv: report lines and the cart's measurements.


NOT_MEASURED = 29999
"""What the carts write for an interval or axis that they could not measure."""

_KEYS = ("study_id", "subject_id")

REPORT_COLUMNS = tuple(f"report_{i}" for i in range(18))


def read_mimic_reports(path: Path, records: pd.DataFrame) -> SourceTable:
    """Read the reports of these records, joined by study_id, in their order.

    A measurement outside `MEASUREMENT_BOUNDS` is none: it is empty, and counted.

    Parameters
    ----------
    path
        The CSV. Its columns of measurements are optional; all of report_0 … report_17 are not.
    records
        Columns ``record_id, study_id``, each unique, and ``subject_id`` where known.

    Raises
    ------
    SchemaError
        When the table cannot be read, an identifier is no whole number, two rows of one study
        differ, or a report is of another patient than its recording.
    """
    raw = read_csv_table(
        path, ("study_id", *REPORT_COLUMNS), optional=("subject_id", *MEASUREMENTS)
    )
    raw, n_spellings = unify_identifiers(raw, _KEYS, path, whole=True)
    raw, n_repeated = drop_repeated_rows(raw, "study_id", path)
    row, n_without_record = _match(records, raw["study_id"])
    _require_same_subjects(records, raw, row, path)
    numbers = {name: _numbers(raw[name]) for name in MEASUREMENTS if name in raw.column_names}
    lines = _collect_lines(raw, row)
    reports = pd.DataFrame(
        {
            "record_id": records["record_id"].to_numpy(),
            "coding": REPORT_TEXT,
            "lines": lines,
            **{
                name: _measured(name, numbers[name], row) if name in numbers else np.nan
                for name in MEASUREMENTS
            },
        }
    )
    without_row = int((row < 0).sum())
    return SourceTable(
        reports,
        {
            "records": len(reports),
            "records_without_report": without_row,
            "records_with_empty_report": int((reports["lines"].str.len() == 0).sum()) - without_row,
            "reports_without_record": n_without_record,
            "duplicate_study_ids": n_repeated,
            "ids_in_two_spellings": n_spellings,
            "values_not_measured": sum(int((v == NOT_MEASURED).sum()) for v in numbers.values()),
            "values_implausible": sum(
                int(np.sum(~np.isnan(v) & (v != NOT_MEASURED) & ~_is_plausible(name, v)))
                for name, v in numbers.items()
            ),
            "values_not_numbers": sum(
                int(np.isnan(numbers[name]).sum()) - raw[name].null_count for name in numbers
            ),
        },
    )


def _match(records: pd.DataFrame, study_ids: pa.ChunkedArray) -> tuple[NDArray[np.int64], int]:
    """Find each record's row in the raw table, -1 for none; count the rows of no record."""
    left = records["study_id"].map(canonical_identifier).to_frame()
    right = pd.DataFrame({"study_id": study_ids.to_pandas()})
    right = right[right["study_id"].notna()].reset_index(names="row")
    joined = left.merge(right, on="study_id", how="left", validate="one_to_one")
    row = joined["row"].fillna(-1).to_numpy(dtype=np.int64)
    return row, len(study_ids) - int((row >= 0).sum())


def _require_same_subjects(
    records: pd.DataFrame, raw: pa.Table, row: NDArray[np.int64], path: Path
) -> None:
    """Refuse a report whose patient is not that of the recording of its study."""
    if "subject_id" not in raw.column_names or "subject_id" not in records:
        return
    of_report = raw["subject_id"].take(pa.array(row, mask=row < 0)).to_pandas().to_numpy(object)
    of_record = records["subject_id"].map(canonical_identifier).to_numpy(object)
    differs = pd.Series(False, index=range(len(raw)))
    differs.iloc[row[pd.notna(of_report) & (of_report != of_record)]] = True
    refuse_cells(differs, path, "subject_id", "is not the patient of its study's recording")


def _collect_lines(raw: pa.Table, row: NDArray[np.int64]) -> pd.Series:
    """Collect the filled cells of report_0 … report_17 as lists, one a record.

    Whole columns at once: MIMIC has 14 million cells, of which 2.8 million are filled.
    """
    table = raw.select(REPORT_COLUMNS).take(pa.array(row, mask=row < 0))
    columns = [table[name].combine_chunks() for name in REPORT_COLUMNS]
    filled = np.stack([pc.is_valid(column).to_numpy(False) for column in columns], axis=1)
    record, column = np.nonzero(filled)
    values = pa.concat_arrays(columns).take(pa.array(column * len(table) + record))
    offsets = pa.array(np.append(0, np.cumsum(filled.sum(axis=1))), pa.int32())
    lines: pd.Series = pa.ListArray.from_arrays(offsets, values).to_pandas()
    return lines


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Convert text to numbers, NaN where it is none; each distinct text only once."""
    encoded = column.combine_chunks().dictionary_encode()
    distinct = pd.to_numeric(encoded.dictionary.to_pandas(), errors="coerce")
    codes = encoded.indices.fill_null(len(distinct)).to_numpy()
    numbers: NDArray[np.float64] = np.append(distinct.to_numpy(dtype=float), np.nan)[codes]
    return numbers


def _measured(
    name: str, numbers: NDArray[np.float64], row: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Value of each record's row, NaN for none and for what was not measured."""
    values = np.append(np.where(_is_plausible(name, numbers), numbers, np.nan), np.nan)[row]
    return np.asarray(values)


def _is_plausible(name: str, numbers: NDArray[np.float64]) -> NDArray[np.bool_]:
    low, high = MEASUREMENT_BOUNDS[name]
    is_plausible: NDArray[np.bool_] = (numbers >= low) & (numbers <= high)
    return is_plausible


NAME = "mimic-iv-ecg"
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
    name: str = NAME
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
            When a table cannot be read, an identifier is no whole number, a path leaves the
            root, or two rows of one study differ.
        SettingsError
            When there would be 100 shards or more.
        """
        path = self.root / RECORD_LIST_FILE
        raw = read_csv_table(path, ("subject_id", "study_id", "ecg_time", "path"))
        for name in ("subject_id", "study_id", "path"):
            refuse_cells(raw[name].is_null().to_pandas(), path, name, "is empty")
        raw, n_spellings = unify_identifiers(raw, ("subject_id", "study_id"), path, whole=True)
        raw, n_repeated = drop_repeated_rows(raw, "study_id", path)
        folders = _find_folders(raw["path"], path)
        table = raw.to_pandas()
        times = parse_times(table["ecg_time"])
        is_time = times.notna()
        demographics, found = read_demographics(self.root, table["subject_id"], times)
        records = record_table(
            self.name,
            "mimic_iv_ecg_" + table["study_id"],
            path=table["path"].str.replace(r"\.(?:hea|dat)$", "", regex=True),
            shard=shards_of_numbered_folders(folders, self.folders_per_shard),
            subject_id=table["subject_id"],
            study_id=table["study_id"],
            ecg_time=times,  # in the patient's shifted time
            age=demographics["age"],
            sex=demographics["sex"],
        )
        return SourceTable(
            records,
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "duplicate_study_ids": n_repeated,
                "ids_in_two_spellings": n_spellings,
                "paths_of_another_subject": _count_other_subjects(table),
                "times_not_understood": count_not_understood(table["ecg_time"], is_time),
                "records_without_time": int(records["ecg_time"].isna().sum()),
                **found,
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read machine_measurements.csv, joined by study_id.

        Raises
        ------
        SchemaError
            As `read_mimic_reports`.
        """
        return read_mimic_reports(self.root / REPORTS_FILE, records)


def _count_other_subjects(table: pd.DataFrame) -> int:
    """Count the paths that lead through the folder of another patient, as p10000032."""
    of_path = table["path"].str.extract(r"(?:^|/)p(\d{8})/", expand=False)
    return int((of_path.notna() & (of_path != table["subject_id"])).sum())


def _find_folders(paths: pa.ChunkedArray, path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Read the number of each path's folder pNNNN, and refuse a path that leaves the root."""
    # The messages name rows only: a path holds the patient's id.
    require_below_root(paths.to_pandas().rename("path"), path)
    found = pc.struct_field(pc.extract_regex(paths, r"(?:^|/)p(?P<n>\d{4})/"), "n")
    if found.null_count:
        row = pc.index(pc.is_null(found), True).as_py() + 1
        raise SchemaError(
            f"{path}: {found.null_count} paths are in no folder pNNNN, first in data row {row}; "
            "expected files/pNNNN/pNNNNNNNN/sNNNNNNNN/NNNNNNNN."
        )
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]] = found.cast(pa.int64()).to_numpy()
    return numbers


def read_list_rows(source: MimicIvEcg) -> pd.Series[int]:
    """Read the row of each recording in record_list.csv, from 0, by record_id."""
    path = source.root / RECORD_LIST_FILE
    raw, _ = unify_identifiers(read_csv_table(path, ("study_id",)), ("study_id",), path, whole=True)
    studies = raw["study_id"].to_pandas().drop_duplicates()
    return pd.Series(studies.index, index="mimic_iv_ecg_" + studies)


MIMIC_IV_ECG = Dataset(
    name=NAME,
    title="MIMIC-IV-ECG",
    open=MimicIvEcg,
    coding=REPORT_TEXT,
    needed_files=(RECORD_LIST_FILE, REPORTS_FILE),
    options=("folders_per_shard",),
    read_list_rows=read_list_rows,
    has_shifted_years=True,
    published_counts=Path(__file__).with_suffix(".yaml"),
    database_names={r"4\d{7}": NAME},  # its study ids
)
