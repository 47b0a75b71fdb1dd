"""EchoNext 1.1.0 as PhysioNet has it: a table, and an array for each split (restricted access).

100,000 recordings with what an echocardiogram found (https://doi.org/10.1038/s41586-025-09227-0).
Names of files and columns, and that rows of the table stand in the order of the arrays' rows, are
from the release's README and vlbthambawita/ECGBench (labels/echonext.py, splitting/strategies).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.sources.dataset import Dataset, Folds, SourceTable, record_table, report_table
from ecg_assets.sources.dataset_tables import (
    parse_demographics,
    parse_truths,
    read_csv_table,
    refuse_cells,
    require_filled,
    unify_identifiers,
)
from ecg_assets.sources.file_limits import require_regular_file
from ecg_assets.sources.record import Record
from ecg_assets.sources.schema import NO_LABEL, OWN_LABELS, measured_line

NAME = "echonext"
METADATA_FILE = "echonext_metadata_100k.csv"
FOLD_OF_SPLIT = {"train": 1, "val": 2, "test": 3, "no_split": 0}
"""Recordings of ``no_split`` are earlier ones of patients of val and test: no fold to use."""

COMPOSITE = "shd_moderate_or_greater_flag"
FLAGS = (
    "lvef_lte_45_flag",
    "lvwt_gte_13_flag",
    "aortic_stenosis_moderate_or_greater_flag",
    "aortic_regurgitation_moderate_or_greater_flag",
    "mitral_regurgitation_moderate_or_greater_flag",
    "tricuspid_regurgitation_moderate_or_greater_flag",
    "pulmonary_regurgitation_moderate_or_greater_flag",
    "rv_systolic_dysfunction_moderate_or_greater_flag",
    "pericardial_effusion_moderate_large_flag",
    "pasp_gte_45_flag",
    "tr_max_gte_32_flag",
    COMPOSITE,
)

_VALVE = {"none": 1, "presumed none": 1, "mild": 2, "moderate": 3, "severe": 4}
_GRADES = {
    "aortic_stenosis_value": _VALVE,
    "aortic_regurgitation_value": _VALVE,
    "mitral_regurgitation_value": _VALVE,
    "tricuspid_regurgitation_value": _VALVE,
    "pulmonary_regurgitation_value": _VALVE,
    "rv_systolic_function_value": {
        **{"normal": 1, "mildly_reduced": 2, "moderately_reduced": 3, "severely_reduced": 4},
    },
    "pericardial_effusion_value": {"none": 1, "trace": 2, "small": 3, "moderate": 4, "large": 5},
}
"""Grades from 1, for 0 stands for nothing measured. ``presumed none`` is an absence that the
authors inferred of a report, and is taken for one."""

_UNITS = {
    "lvef_value": "%",
    "ivs_measurement": "cm",
    "lvpw_measurement": "cm",
    "pasp_value": "mmHg",
    "tr_max_velocity_value": "m/s",
}

NUMBERS = {
    **{column: f"{column} [grade]" for column in _GRADES},
    **{column: f"{column} [{unit}]" for column, unit in _UNITS.items()},
}
"""Each column of what was measured, and its name as an own number."""

_SEX = {"1": "M", "male": "M", "0": "F", "female": "F"}
_ROWS_IN_SHARD = 5_000


@dataclass(frozen=True)
class EchoNext:
    """The dataset below `root`: echonext_metadata_100k.csv and EchoNext_…_waveforms.npy.

    Part of the arrays is enough: a recording whose array is not there is rejected by
    preprocessing.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read the table; the i-th row of a split is of the i-th row of the split's array.

        Raises
        ------
        SchemaError
            When the table cannot be read, two rows have one key, a split is unknown, or an array
            has another number of rows than its split, or another shape than (rows, 1, 2500, 12).
        """
        table = self._read_table("patient_key", "split", optional=("age_at_ecg", "sex"))
        row = table.groupby("split").cumcount()
        self._require_arrays(table["split"])
        known = parse_demographics(table["age_at_ecg"], table["sex"], _SEX)
        shard = (row // _ROWS_IN_SHARD).astype(str).str.zfill(2)
        records = record_table(
            self.name,
            _record_ids(table),
            path=table["split"].map(_file_of) + "#" + row.astype(str),
            shard=table["split"] + "-" + shard,
            subject_id=table["patient_key"],
            study_id=table["ecg_key"],
            age=known.age,
            sex=known.sex,
        )
        files = map(_file_of, table["split"].unique())
        return SourceTable(
            records,
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "records_in_no_split": int((table["split"] == "no_split").sum()),
                "missing_waveform_files": sum(not (self.root / file).is_file() for file in files),
                **known.findings,
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read each recording's flags that are 1, and what was measured: a number a column.

        A flag is 0, too, where nothing was measured: of the recording more than a year before its
        echocardiogram, the release has the flags alone (its README). Valves, right ventricle and
        effusion have a grade from 1, which is none.

        Raises
        ------
        SchemaError
            When the table cannot be read, a flag is neither 0 nor 1, or a cell is neither empty
            nor a number or grade of its column.
        """
        table = self._read_table(*FLAGS, *NUMBERS)
        path = self.root / METADATA_FILE
        names = np.array(FLAGS, dtype=object)
        lines = [names[row].tolist() or [NO_LABEL] for row in parse_truths(table, FLAGS, path)]
        n_measured = 0
        for column, name in NUMBERS.items():
            values = _read_numbers(table[column], column, path)
            for at in np.flatnonzero(~np.isnan(values)).tolist():
                lines[at].append(measured_line(name, values[at]))
                n_measured += 1
        lines_of = dict(zip(_record_ids(table), lines, strict=True))
        return report_table(records, OWN_LABELS, lines_of, measured_values=n_measured)

    def read_label_names(self) -> tuple[str, ...]:
        """Give the names of the flags."""
        return FLAGS

    def read_folds(self) -> pd.Series[int]:
        """Read the fold of each recording by record_id: 1 train, 2 val, 3 test, 0 none of them."""
        table = self._read_table("split")
        folds = table["split"].map(FOLD_OF_SPLIT)
        folds.index = pd.Index(_record_ids(table), name="record_id")
        return folds.astype("int64").rename("fold")

    def _read_table(self, *columns: str, optional: tuple[str, ...] = ()) -> pd.DataFrame:
        """Read columns, in the table's order: no row may be dropped, not even a repeated one."""
        path = self.root / METADATA_FILE
        wanted = dict.fromkeys(("ecg_key", "split", *columns))
        raw = read_csv_table(path, tuple(wanted), optional=optional)
        raw, _ = unify_identifiers(raw, ("ecg_key", "patient_key"), path, whole=False)
        table: pd.DataFrame = raw.to_pandas().reindex(columns=[*wanted, *optional])
        refuse_cells(table["ecg_key"].duplicated(), path, "ecg_key", "stands twice")
        require_filled(table, tuple({"ecg_key", "patient_key"} & set(table)), path)
        known = ", ".join(FOLD_OF_SPLIT)
        refuse_cells(~table["split"].isin(FOLD_OF_SPLIT), path, "split", f"is none of {known}")
        return table

    def _require_arrays(self, splits: pd.Series[str]) -> None:
        for split, expected in splits.value_counts().items():
            path = self.root / _file_of(str(split))
            if not path.exists():
                continue
            try:
                found = _open_array(path).shape
            except BadRecord as error:
                raise SchemaError(f"{path} cannot be read: {error.detail}.") from error
            if found[0] != expected:
                raise SchemaError(
                    f"{self.root / METADATA_FILE} has {expected} rows of split {split}, but "
                    f"{path.name} has {found[0]}. The i-th of a split is the array's i-th row, and "
                    "nothing else joins them: download both anew."
                )


def _file_of(split: str) -> str:
    return f"EchoNext_{split}_waveforms.npy"


def _record_ids(table: pd.DataFrame) -> pd.Series[str]:
    return "echonext_" + table["ecg_key"]


def _read_numbers(text: pd.Series[str], column: str, path: Path) -> NDArray[np.float64]:
    """Read a column of what was measured, NaN where it is empty."""
    grades = _GRADES.get(column)
    found = text.str.lower().map(grades) if grades else pd.to_numeric(text, errors="coerce")
    what = f"is none of {', '.join(grades)}" if grades else "is no number"
    refuse_cells(found.isna() & text.notna(), path, column, what)
    return np.asarray(found, np.float64)


# A row of a split's array.

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_SAMPLE_RATE_HZ = 250.0
_SHAPE = (1, 2500, len(LEADS))

# PierreElias/IntroECG, "7-EchoNext Minimodel": parse_xml.py (order of the leads, integers of a
# MUSE cart as they are, baseline removed by medians) and waveform_normalization_params.json, by
# which preprocess.py clips each lead and standardizes it. The release itself states no numbers.
MEANS = np.array(
    [
        *(5.438902932045533, 4.386144027595723, -0.8828521117626768, -4.901228423594343),
        *(3.179303315626078, 1.718962497412901, -4.3853678923766815, -1.4991789389444636),
        *(-0.2390101635046568, 3.622168549154881, 5.396823627457744, 5.660982479475681),
    ]
)
DEVIATIONS = np.array(
    [
        *(32.4283237955487, 31.37262367036232, 30.155474930762434, 28.126380180199195),
        *(27.097711990189254, 26.148743373957526, 37.739210938823206, 52.792504469040814),
        *(56.75138860280555, 49.90223860158139, 45.001427330308026, 39.06606103398455),
    ]
)
LOWEST = np.array(
    [-140.0, -206.0, -324.0, -247.0, -153.0, -249.0, -369.0, -522.0, -554.0, -411.0, -290.0, -209.0]
)
HIGHEST = np.array(
    [287.0, 297.0, 236.0, 118.5, 270.0, 245.5, 219.0, 297.0, 366.0, 450.0, 451.0, 396.0]
)
"""Of each lead in units of the cart. Each was filtered and clipped by itself: where one is, limb
leads do not fit each other (the column ``limb_fault`` says unexplained)."""

MV_PER_UNIT = 0.00488
"""What MUSE carts write as LeadAmplitudeUnitsPerBit: 4.88 µV."""


def read_waveform(path: Path, row: str, leads: Sequence[str] | None = None) -> Record:
    """Read leads of a recording in mV, out of the standardized samples of its split's array.

    Parameters
    ----------
    path
        An array ``(recording, 1, sample, lead)``, of which this row alone is read.
    row
        Number of the row, from 0.
    leads
        Names of the leads to read, in the order wanted; None for all.

    Raises
    ------
    BadRecord
        ``missing_file``, ``missing_exam``, ``missing_lead``, ``bad_shape``, those of
        `make_array_record`, or ``unreadable`` for all the rest.
    """
    from ecg_assets.sources.folder.arrays import find_named_leads, make_array_record

    columns = find_named_leads(LEADS, leads)
    array = _open_array(path)
    if not (row.isascii() and row.isdecimal() and int(row) < len(array)):
        raise BadRecord("missing_exam", f"{path.name} has {len(array)} rows; asked for {row[:80]}")
    standardized = np.array(array[int(row), 0][:, columns], dtype=np.float64)  # (sample, lead)
    signal = (standardized * DEVIATIONS[columns] + MEANS[columns]) * MV_PER_UNIT
    return make_array_record(signal.T, [LEADS[column] for column in columns], _SAMPLE_RATE_HZ)


def _open_array(path: Path) -> NDArray[np.floating[Any]]:
    """Map an array: a header that claims more than the file holds is refused, not allocated."""
    require_regular_file(path)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy tells a spoilt header by many kinds of error
        reason = str(error).replace(str(path), path.name)[:160]
        raise BadRecord("unreadable", f"{path.name}: {type(error).__name__}: {reason}") from error
    if array.shape[1:] != _SHAPE or array.dtype.kind != "f":
        raise BadRecord(
            "bad_shape", f"{path.name} is {array.dtype} {array.shape}; expected (rows, 1, 2500, 12)"
        )
    return array


ECHONEXT = Dataset(
    name=NAME,
    title="EchoNext",
    open=EchoNext,
    coding=OWN_LABELS,
    needed_files=(METADATA_FILE,),
    readers={_file_of(split): read_waveform for split in FOLD_OF_SPLIT},
    folds=Folds(read=EchoNext.read_folds, train=(1,), valid=(2,), test=(3,)),
    read_own_labels=EchoNext.read_label_names,
)
