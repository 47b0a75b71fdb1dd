"""labels.csv: the user's own list of recordings, with a column a label."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.errors import SchemaError
from ecg_assets.sources.csv_table import read_csv_table
from ecg_assets.sources.schema import NO_LABEL
from ecg_assets.sources.table_cells import refuse_cells, require_below_root

LABELS_FILE = "labels.csv"

_PATIENT = ("patient", "patient_id", "subject_id")
_TIME = ("time", "ecg_time")
_NO_LABELS = ("file", *_PATIENT, "age", "sex", *_TIME, "sample_rate_hz")
_VALUES = {"0": 0.0, "0.0": 0.0, "false": 0.0, "1": 1.0, "1.0": 1.0, "true": 1.0}


@dataclass(frozen=True)
class FolderLabels:
    """What labels.csv holds, one entry a data row.

    Attributes
    ----------
    file
        Path below the root as written, with ``/`` between folders.
    patient, age, sex, time
        Text, None where empty or where the column is missing.
    sample_rate_hz
        Samples per second, NaN where not stated.
    names
        Labels in the file's order.
    values : float32 (row, label)
        0 or 1; NaN where the cell is empty.
    """

    file: pd.Series[str]
    patient: pd.Series[str]
    age: pd.Series[str]
    sex: pd.Series[str]
    time: pd.Series[str]
    sample_rate_hz: npt.NDArray[np.float64]
    names: tuple[str, ...]
    values: npt.NDArray[np.float32]

    def lines(self) -> list[list[str]]:
        """For each row the labels that are 1, `NO_LABEL` if all are 0, nothing if all are empty."""
        names = np.array(self.names, dtype=object)
        return [
            [] if np.isnan(row).all() else (names[row == 1].tolist() or [NO_LABEL])
            for row in self.values
        ]


def read_folder_labels(root: Path) -> FolderLabels:
    """Read labels.csv of a folder.

    Columns: ``file``; where there, ``patient`` (or ``patient_id``, ``subject_id``), ``age``,
    ``sex``, ``time`` (or ``ecg_time``), ``sample_rate_hz``; every other one is a label.

    Raises
    ------
    SchemaError
        When the table cannot be read, a file is empty or leaves the root, two columns say
        one thing, or a cell does not hold what its column needs; the message says which.
    """
    path = root / LABELS_FILE
    table = read_csv_table(path, ("file",), optional=None).to_pandas()
    table = table[[name for name in table.columns if name]]
    names = tuple(name for name in table.columns if name not in _NO_LABELS)
    if NO_LABEL in names:
        raise SchemaError(f"{path}: a label cannot be named {NO_LABEL}; rename that column.")
    return FolderLabels(
        file=_read_files(table["file"], path),
        patient=_choose_column(table, _PATIENT, path),
        age=_choose_column(table, ("age",), path),
        sex=_choose_column(table, ("sex",), path),
        time=_choose_column(table, _TIME, path),
        sample_rate_hz=_read_rates(_choose_column(table, ("sample_rate_hz",), path), path),
        names=names,
        values=_read_values(table, names, path),
    )


def _read_files(column: pd.Series[str], path: Path) -> pd.Series[str]:
    refuse_cells(column.isna(), path, "file", "is empty")
    files = column.str.replace("\\", "/").str.removeprefix("./")
    require_below_root(files, path)
    return files


def _choose_column(table: pd.DataFrame, names: tuple[str, ...], path: Path) -> pd.Series[str]:
    """Take the one column that has one of these names; without any, all is None."""
    found = [name for name in names if name in table]
    if len(found) > 1:
        raise SchemaError(f"{path}: columns {found} mean the same; keep one.")
    return table[found[0]] if found else pd.Series(None, index=table.index, dtype=object)


def _read_rates(column: pd.Series[str], path: Path) -> npt.NDArray[np.float64]:
    rates = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    is_usable = (rates > 0) & np.isfinite(rates)
    wrong = column.notna() & ~is_usable
    refuse_cells(wrong, path, "sample_rate_hz", "is no number above 0")
    return rates


def _read_values(
    table: pd.DataFrame, names: tuple[str, ...], path: Path
) -> npt.NDArray[np.float32]:
    values = np.full((len(table), len(names)), np.nan, dtype=np.float32)
    for i, name in enumerate(names):
        number = table[name].str.lower().map(_VALUES)
        what = f"is neither 0, 1 nor empty, as a label is (no labels are: {', '.join(_NO_LABELS)})"
        refuse_cells(table[name].notna() & number.isna(), path, name, what)
        values[:, i] = number
    return values
