"""SPH, Shandong Provincial Hospital's database (https://doi.org/10.1038/s41597-022-01403-5).

metadata.csv, code.csv, and a file of HDF5 a recording in the folder records, as figshare has them
(https://doi.org/10.6084/m9.figshare.c.5779802). Names of columns and files, the order of leads and
the unit are as two public readers of it have them, torch_ecg and ecgbench 1.0.0, of which the
latter checked them on every recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.aha_statements import AHA, count_statements, split_statements, write_lines
from ecg_assets.sources.dataset import Dataset, SourceTable, record_table, report_table
from ecg_assets.sources.dataset_tables import (
    count_not_understood,
    drop_repeated_rows,
    parse_demographics,
    parse_times,
    read_csv_table,
    refuse_cells,
    require_filled,
)
from ecg_assets.sources.file_limits import MOST_DECODED_VALUES, require_regular_file
from ecg_assets.sources.hdf5 import explain_unreadable, open_dataset, open_hdf5
from ecg_assets.sources.reader_process import call_in_child
from ecg_assets.sources.record import Record

NAME = "sph"
METADATA_FILE, CODES_FILE = "metadata.csv", "code.csv"

_COLUMNS = ("ECG_ID", "AHA_Code", "Patient_ID")


@dataclass(frozen=True)
class Sph:
    """The dataset below `root`: its two tables, and records/A00001.h5 and so on.

    Part of the recordings is enough: one whose file is not there is rejected by preprocessing.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read metadata.csv; a thousand numbers make a shard: A00 to A25.

        Raises
        ------
        SchemaError
            When the table cannot be read, a cell is not what its column needs, or two rows
            of one recording differ.
        """
        path, table = self.root / METADATA_FILE, self._read_metadata("Age", "Sex", "Date")
        require_filled(table, ("Patient_ID",), path)
        refuse_cells(
            ~table["ECG_ID"].str.fullmatch(r"[A-Z]\d{5}"), path, "ECG_ID", "is none, as A00001"
        )
        known = parse_demographics(table["Age"], table["Sex"])
        times = parse_times(table["Date"])
        records = record_table(
            self.name,
            "sph_" + table["ECG_ID"],
            path="records/" + table["ECG_ID"] + ".h5",
            shard=table["ECG_ID"].str[:3],
            subject_id=table["Patient_ID"],
            study_id=table["ECG_ID"],
            ecg_time=times,
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(
            records,
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                **known.findings,
                "times_not_understood": count_not_understood(table["Date"], times.notna()),
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the statements of these records, each once: its number and its modifiers.

        Raises
        ------
        SchemaError
            When a table cannot be read, or a cell has a code that code.csv lacks.
        """
        table = self._read_metadata()
        known = set(read_csv_table(self.root / CODES_FILE, ("Code",))["Code"].to_pylist())
        found = [split_statements(cell) for cell in table["AHA_Code"].fillna("")]
        codes = [[code for one in cell for code in (one.code, *one.modifiers)] for cell in found]
        wrong = pd.Series([not cell or not known.issuperset(cell) for cell in codes])
        what = f"is none of the codes of {CODES_FILE}, as 22;60+310"
        refuse_cells(wrong, self.root / METADATA_FILE, "AHA_Code", what)
        of_record = dict(zip("sph_" + table["ECG_ID"], found, strict=True))
        here = {name: of_record[name] for name in records["record_id"] if name in of_record}
        lines = {name: write_lines(statements) for name, statements in here.items()}
        return report_table(records, AHA, lines, **count_statements(here.values()))

    def _read_metadata(self, *optional: str) -> pd.DataFrame:
        """Read a row a recording."""
        path = self.root / METADATA_FILE
        raw = read_csv_table(path, _COLUMNS, optional=optional)
        refuse_cells(raw["ECG_ID"].is_null().to_pandas(), path, "ECG_ID", "is empty")
        raw, _ = drop_repeated_rows(raw, "ECG_ID", path)
        table: pd.DataFrame = raw.to_pandas()
        return table.reindex(columns=[*_COLUMNS, *optional])


# A recording: one dataset, float16 in mV.


_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_SAMPLE_RATE_HZ = 500.0


def read_h5(path: Path, part: str, leads: Sequence[str] | None = None) -> Record:
    """Read a recording's leads.

    Parameters
    ----------
    path
        A file with ``ecg``, ``(lead, sample)`` in mV: twelve leads at 500 Hz.
    part
        Nothing: a file has one recording.
    leads
        Names of the leads to read, in the order wanted; None for all.

    Raises
    ------
    BadRecord
        ``missing_file``, ``missing_lead``, ``bad_shape``, those of `make_array_record`, or
        ``unreadable`` for all the rest.
    """
    from ecg_assets.sources.folder.arrays import find_named_leads, make_array_record

    rows = find_named_leads(_LEADS, leads)
    if part:
        raise BadRecord("unreadable", f"{path.name} has one recording; its path ends without #")
    require_regular_file(path)
    signal = call_in_child(_read_signal, path, rows)
    return make_array_record(signal, [_LEADS[row] for row in rows], _SAMPLE_RATE_HZ)


def _read_signal(path: Path, rows: list[int]) -> NDArray[np.floating[Any]]:
    """Read leads, ``(lead, sample)``, in a child process."""
    try:
        with open_hdf5(path) as file:
            ecg = open_dataset(file, "ecg")
            if ecg.ndim != 2 or ecg.shape[0] != len(_LEADS) or ecg.size > MOST_DECODED_VALUES:
                raise BadRecord("bad_shape", f"ecg is {ecg.shape}; expected (12, samples)")
            if ecg.dtype.kind != "f":
                raise BadRecord("bad_shape", f"ecg is {ecg.dtype}; expected mV"[:200])
            return np.ascontiguousarray(ecg[:][rows])
    except BadRecord:
        raise
    except Exception as error:  # h5py raises whatever a spoilt file makes of it
        raise explain_unreadable(error, path) from error


SPH = Dataset(
    name=NAME,
    title="SPH",
    open=Sph,
    coding=AHA,
    needed_files=(METADATA_FILE, CODES_FILE),
    readers={"h5": read_h5},
    published_findings={"records": 25770, "patients": 24666},
)
