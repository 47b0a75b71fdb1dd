"""What is measured in a recording: numbers as targets, and labels that nobody looked for.

A number is one of `MEASURES`, or a column of the user's own (``own:LVEF [%]``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from ecg_assets.errors import SettingsError
from ecg_assets.labels.codings import OWN, code_concept, find_coding, is_own
from ecg_assets.sources.schema import NOT_LOOKED_FOR, REPORT_TEXT, split_measured

if TYPE_CHECKING:
    from ecg_assets.labels.label_set import LabelSet


@dataclass(frozen=True)
class Measure:
    """A number of a recording.

    Attributes
    ----------
    unit
        Of its values.
    compute
        Reads it from the table of recordings or of reports, a value a row; empty where it is not
        measured.
    of_records
        Whether it stands in `RECORD_LIST`, not with the cart's measurements in `MACHINE_REPORTS`.
    """

    unit: str
    compute: Callable[[pd.DataFrame], pd.Series[float]]
    of_records: bool = False


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series[float]]:
    return lambda table: table[name]


def _interval(start: str, end: str) -> Callable[[pd.DataFrame], pd.Series[float]]:
    """Subtract two times; an interval that is not positive was not measured."""

    def compute(table: pd.DataFrame) -> pd.Series[float]:
        length = table[end] - table[start]
        return length.where(length > 0)

    return compute


MEASURES = {
    "age": Measure("years", _column("age"), of_records=True),
    "heart_rate": Measure("bpm", lambda table: 60_000 / table["rr_interval"]),
    "rr_interval": Measure("ms", _column("rr_interval")),
    "p_duration": Measure("ms", _interval("p_onset", "p_end")),
    "pr_interval": Measure("ms", _interval("p_onset", "qrs_onset")),
    "qrs_duration": Measure("ms", _interval("qrs_onset", "qrs_end")),
    "qt_interval": Measure("ms", _interval("qrs_onset", "t_end")),
    "p_axis": Measure("degrees", _column("p_axis")),
    "qrs_axis": Measure("degrees", _column("qrs_axis")),
    "t_axis": Measure("degrees", _column("t_axis")),
}
"""Each measure by its name in a label set; those of the cart are as it prints them."""


def require_numbers(names: Iterable[str]) -> None:
    """Raise `ValueError` for names of numbers that no recording has."""
    unknown = sorted(name for name in names if not is_own(name) and name not in MEASURES)
    if unknown:
        raise ValueError(
            f"{unknown} are no numbers of a recording; known are {', '.join(MEASURES)}, and "
            "own:<column> of a column with a unit, as 'own:LVEF [%]'."
        )


@dataclass(frozen=True)
class OwnCells:
    """What codes and the user's own columns say of each report, beside findings.

    Attributes
    ----------
    numbers
        Column to float64 ``(report,)``; NaN where there is none.
    not_looked_for
        Concept to bool ``(report,)``: that of an own label, or of a code, and the code itself.
    """

    numbers: dict[str, npt.NDArray[np.float64]]
    not_looked_for: dict[str, npt.NDArray[np.bool_]]

    @classmethod
    def read(cls, reports: pd.DataFrame) -> OwnCells:
        """Read the lines of reports that are no findings, as `measured_line` writes them."""
        n, found = len(reports), cls({}, {})
        coding, lines = reports["coding"].to_numpy(), reports["lines"].to_numpy()
        for place in np.flatnonzero(coding != REPORT_TEXT).tolist():
            for line in lines[place]:
                cell = split_measured(line)
                if cell is None:
                    continue
                name, value = cell
                if value == NOT_LOOKED_FOR:
                    for concept in _concepts_of(coding[place], name):
                        found.not_looked_for.setdefault(concept, np.zeros(n, np.bool_))[place] = 1
                else:
                    found.numbers.setdefault(name, np.full(n, np.nan))[place] = float(value)
        return found


def _concepts_of(coding: str, name: str) -> set[str]:
    """Give the concepts of an own label, or of a code that its coding has."""
    found = {code_concept(coding, name)}
    return found | {concept for code, concept in find_coding(coding).codes.items() if code == name}


def find_unknown(
    reports: pd.DataFrame, label_set: LabelSet, records: pd.DataFrame | None = None
) -> npt.NDArray[np.bool_] | None:
    """Say which labels nobody looked for, bool ``(report, label)``; None where all are known.

    A label is not known where one of its own columns is empty and none is 1, where the data say
    that nobody looked for one of its codes, or where what it is `measured_by` is empty or 0.

    Parameters
    ----------
    reports
        Table of `MACHINE_REPORTS`.
    label_set
        Labels and their rules.
    records
        Table of `RECORD_LIST`, of whom the age is.

    Raises
    ------
    SettingsError
        When a rule names a number that the data does not bring.
    """
    cells = OwnCells.read(reports)
    unknown = np.zeros((len(reports), len(label_set.vocabulary)), np.bool_)
    for place, rule in enumerate(label_set.rules):
        for concept in rule.includes:
            unknown[:, place] |= cells.not_looked_for.get(concept, False)
        for name in rule.measured_by if len(reports) else ():
            values = _read_number(name, reports, cells, records)
            unknown[:, place] |= np.isnan(values) | (values == 0)
    return unknown if unknown.any() else None


def find_undecided(reports: pd.DataFrame, label_set: LabelSet) -> npt.NDArray[np.bool_] | None:
    """Say which labels nobody looked for what excludes them, bool ``(report, label)``.

    What else makes such a label 1 leaves open whether it is. None where there are none.

    Parameters
    ----------
    reports, label_set
        As `find_unknown` takes them.
    """
    not_looked_for = OwnCells.read(reports).not_looked_for
    undecided = np.zeros((len(reports), len(label_set.vocabulary)), np.bool_)
    for place, rule in enumerate(label_set.rules):
        for concept in rule.excludes:
            undecided[:, place] |= not_looked_for.get(concept, False)
    return undecided if undecided.any() else None


def measure_targets(
    reports: pd.DataFrame, label_set: LabelSet, records: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Measure the targets of a label set of numbers.

    Parameters
    ----------
    reports, label_set, records
        As `find_unknown` takes them.

    Returns
    -------
    DataFrame
        `TARGETS`, of the recordings that have one of the numbers or more.

    Raises
    ------
    SettingsError
        When a target is a number that the data does not bring.
    """
    cells = OwnCells.read(reports)
    values = [_read_number(r.includes[0], reports, cells, records) for r in label_set.rules]
    table = np.stack(values, axis=1).astype(np.float32)
    is_measured = ~np.isnan(table).all(axis=1)
    names, table = label_set.vocabulary.names, table[is_measured]
    record_ids = reports["record_id"].to_numpy()[is_measured]
    record = np.repeat(np.arange(len(record_ids), dtype=np.int32), len(names))
    label = np.tile(np.arange(len(names), dtype=np.int32), len(record_ids))
    return pd.DataFrame(
        {
            "record_id": pd.Categorical.from_codes(record, pd.Index(record_ids)),
            "label": pd.Categorical.from_codes(label, pd.Index(names)),
            "value": table.ravel(),
        }
    )


def _read_number(
    name: str, reports: pd.DataFrame, cells: OwnCells, records: pd.DataFrame | None
) -> npt.NDArray[np.float64]:
    if is_own(name):
        column = name.removeprefix(OWN)
        if column not in cells.numbers:
            raise SettingsError(
                f"The label set names {name!r}, but no recording has a number in a column "
                f"{column!r} of labels.csv; those with one are {sorted(cells.numbers)}. A column "
                "of numbers has its unit in brackets, as 'LVEF [%]'."
            )
        return cells.numbers[column]
    measure = MEASURES[name]
    if measure.of_records and records is None:
        raise SettingsError(f"{name} stands in record_list, which was not given.")
    table = reports
    if measure.of_records and records is not None:
        known = records.drop_duplicates("record_id").set_index("record_id")
        table = known.reindex(reports["record_id"].to_numpy())
    values = measure.compute(table).to_numpy(np.float64, na_value=np.nan, copy=True)
    values[~np.isfinite(values)] = np.nan
    return np.asarray(values, np.float64)
