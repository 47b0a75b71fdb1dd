"""labels.csv: the user's own list of recordings, with a column a label or measurement."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.errors import SchemaError
from ecg_assets.sources.dataset_tables import (
    read_csv_table,
    refuse_cells,
    require_below_root,
    unify_identifiers,
)
from ecg_assets.sources.schema import NO_LABEL, measured_line, unit_of

LABELS_FILE = "labels.csv"

_FIELDS = {
    "file": ("file",),
    "patient": ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid"),
    "age": ("age",),
    "sex": ("sex", "gender"),
    "time": ("time", "ecg_time"),
    "sample_rate_hz": ("sample_rate_hz",),
}
"""Columns that are no labels, in any case and with blanks or hyphens for ``_``."""

_FIELD_OF = {name: field for field, names in _FIELDS.items() for name in names}
_SEPARATORS = re.compile(r"[\s_-]+")
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
    n_patients_in_two_spellings
        Patients that stand there as ``17620.0`` and as ``17620``.
    measured_names
        Columns of numbers in the file's order: those with a unit, as ``LVEF [%]``.
    measured : float64 (row, column of numbers)
        NaN where the cell is empty.
    """

    file: pd.Series[str]
    patient: pd.Series[str]
    age: pd.Series[str]
    sex: pd.Series[str]
    time: pd.Series[str]
    sample_rate_hz: npt.NDArray[np.float64]
    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    n_patients_in_two_spellings: int = 0
    measured_names: tuple[str, ...] = ()
    measured: npt.NDArray[np.float64] | None = None

    def lines(self) -> list[list[str]]:
        """For each row the labels that are 1, `NO_LABEL` if none is, nothing if all are empty.

        Beside other cells an empty one has a line that says so. The numbers follow.
        """
        found = [self._lines_of_labels(row) for row in self.values]
        if self.measured is not None:
            for lines, row in zip(found, self.measured, strict=True):
                stated = np.flatnonzero(~np.isnan(row)).tolist()
                lines += [measured_line(self.measured_names[at], row[at]) for at in stated]
        return found

    def _lines_of_labels(self, row: npt.NDArray[np.float32]) -> list[str]:
        names = np.array(self.names, dtype=object)
        if np.isnan(row).all():
            return []
        unknown = [measured_line(name, None) for name in names[np.isnan(row)]]
        return (names[row == 1].tolist() or [NO_LABEL]) + unknown


def read_folder_labels(root: Path) -> FolderLabels:
    """Read labels.csv of a folder.

    Columns: ``file``; where there, ``patient`` (or ``patient_id``, ``subject_id``), ``age``,
    ``sex`` (or ``gender``), ``time`` (or ``ecg_time``), ``sample_rate_hz``, all in any case;
    of the others, one with a unit in brackets holds numbers, and any other is a label.

    Raises
    ------
    SchemaError
        When the table cannot be read, a file is empty or leaves the root, two columns say
        one thing, or a cell does not hold what its column needs; the message says which.
    """
    path = root / LABELS_FILE
    raw = read_csv_table(path, (), optional=None)
    column_of = _find_fields(raw.column_names, path)
    own = [name for name in raw.column_names if name and _find_field(name) is None]
    names = tuple(name for name in own if unit_of(name) is None)
    measured_names = tuple(name for name in own if unit_of(name) is not None)
    if NO_LABEL in names:
        raise SchemaError(f"{path}: a label cannot be named {NO_LABEL}; rename that column.")
    if with_tab := [name for name in own if "\t" in name]:
        raise SchemaError(f"{path}: columns {with_tab} have a tab in their name; rename them.")
    patients = [column_of["patient"]] if "patient" in column_of else []
    raw, n_spellings = unify_identifiers(raw, patients, path, whole=False)
    table = raw.to_pandas()
    known = {field: _take(table, column_of.get(field)) for field in _FIELDS}
    return FolderLabels(
        file=_read_files(known["file"], path),
        patient=known["patient"],
        age=known["age"],
        sex=known["sex"],
        time=known["time"],
        sample_rate_hz=_read_rates(known["sample_rate_hz"], path),
        names=names,
        values=_read_values(table, names, path),
        n_patients_in_two_spellings=n_spellings,
        measured_names=measured_names,
        measured=_read_measured(table, measured_names, path) if measured_names else None,
    )


def _find_field(column: str) -> str | None:
    """Find what a column says of a recording; None for a label.

    >>> [_find_field(name) for name in ("Patient ID", "SEX", "AF")]
    ['patient', 'sex', None]
    """
    return _FIELD_OF.get(_SEPARATORS.sub("_", column.strip()).casefold())


def _find_fields(columns: Sequence[str], path: Path) -> dict[str, str]:
    """Find the column of each field that is there."""
    found: dict[str, list[str]] = {}
    for column in columns:
        field = _find_field(column)
        if field:
            found.setdefault(field, []).append(column)
    for names in found.values():
        if len(names) > 1:
            raise SchemaError(f"{path}: columns {names} mean the same; keep one.")
    if "file" not in found:
        raise SchemaError(f"{path}: columns ['file'] are missing; found {list(columns)}.")
    return {field: names[0] for field, names in found.items()}


def _take(table: pd.DataFrame, column: str | None) -> pd.Series[str]:
    """Take a column; without it, all is None."""
    return table[column] if column else pd.Series(None, index=table.index, dtype=object)


def _read_files(column: pd.Series[str], path: Path) -> pd.Series[str]:
    refuse_cells(column.isna(), path, "file", "is empty")
    files = column.str.replace("\\", "/").str.removeprefix("./")
    require_below_root(files, path)
    return files


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
        what = (
            f"is neither 0, 1 nor empty, as a label is (no labels are: {', '.join(_FIELDS)}, and "
            "columns of numbers, whose names end with a unit, as 'LVEF [%]')"
        )
        refuse_cells(table[name].notna() & number.isna(), path, name, what)
        values[:, i] = number
    return values


def _read_measured(
    table: pd.DataFrame, names: tuple[str, ...], path: Path
) -> npt.NDArray[np.float64]:
    values = np.full((len(table), len(names)), np.nan)
    for i, name in enumerate(names):
        numbers = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=np.float64)
        # They are stored as float32.
        wrong = table[name].notna() & ~(np.abs(numbers) <= np.finfo(np.float32).max)
        refuse_cells(wrong, path, name, "is neither a number nor empty, as its unit says")
        values[:, i] = numbers
    return values
