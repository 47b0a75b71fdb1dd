"""ZZU pECG, Zhengzhou University's database of children (https://doi.org/10.1038/s41597-025-05225-z).

AttributesDictionary.csv and WFDB records in the folder Child_ecg, as figshare has them
(https://doi.org/10.6084/m9.figshare.27078763; a zip in two parts). Names and forms of the columns
are as ecgbench 1.0.0, which read every row, and AI4HealthUOL/ecg-fm-benchmarking have them; where
these tell nothing the reader is tolerant: an age may lack its d, a name may have the folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ecg_assets.sources.aha_statements import AHA, count_statements, split_statements, write_lines
from ecg_assets.sources.dataset import Dataset, SourceTable, record_table, report_table
from ecg_assets.sources.dataset_tables import (
    count_not_understood,
    drop_repeated_rows,
    parse_demographics,
    parse_times,
    read_csv_table,
    refuse_cells,
    require_below_root,
    require_filled,
    shards_of_paths,
)
from ecg_assets.sources.schema import NO_LABEL

NAME = "zzu-pecg"
ATTRIBUTES_FILE = "AttributesDictionary.csv"

_FOLDER = "Child_ecg/"
_COLUMNS = ("ECG_ID", "Filename", "Patient_ID", "AHA_code")
_DAYS = re.compile(r"(\d+(?:\.\d+)?)\s*(?:d|days?)?")
_DAYS_OF_YEAR = 365
"""As its authors count."""


@dataclass(frozen=True)
class ZzuPecg:
    """The dataset below `root`: AttributesDictionary.csv, and Child_ecg/P00/P00001 and so on.

    1,856 of its recordings have nine leads, without V2, V4 and V6: one that lacks a lead that is
    stored is left out, with that reason, by preprocessing.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read AttributesDictionary.csv; an age in days is turned into years of 365.

        Raises
        ------
        SchemaError
            When the table cannot be read, a path leaves the root, or two rows of one
            recording differ.
        """
        path = self.root / ATTRIBUTES_FILE
        table = self._read_attributes("Age", "Gender", "Acquisition_date", "Lead")
        require_filled(table, ("Filename", "Patient_ID"), path)
        require_below_root(table["Filename"], path)
        files = table["Filename"].str.removeprefix(_FOLDER).str.replace(r"\.hea$", "", regex=True)
        known = parse_demographics(
            table["Age"].map(_to_years), table["Gender"].map(lambda cell: str(cell).strip("'"))
        )
        times = parse_times(table["Acquisition_date"])
        records = record_table(
            self.name,
            _record_ids(table),
            path=_FOLDER + files,
            # P00/P00001/P00001_E01: a shard is a thousand patients.
            shard=shards_of_paths(files.str.replace(r"/.*/", "/", regex=True)),
            subject_id=table["Patient_ID"],
            study_id=table["ECG_ID"],
            ecg_time=times,
            age=known.age,
            sex=known.sex,
        )
        n_leads = pd.to_numeric(table["Lead"], errors="coerce")
        return SourceTable(
            records,
            {
                "records": len(records),
                "patients": int(records["subject_id"].nunique()),
                "records_of_12_leads": int((n_leads == 12).sum()),
                "records_of_9_leads": int((n_leads == 9).sum()),
                **known.findings,
                "times_not_understood": count_not_understood(
                    table["Acquisition_date"], times.notna()
                ),
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the findings of these records, each once.

        A line is the number of an AHA statement and its modifiers, or the name of a finding that
        the AHA has no statement for. A recording of modifiers alone has `NO_LABEL`.
        """
        table = self._read_attributes()
        found = [split_statements(cell) for cell in table["AHA_code"].fillna("")]
        of_record = dict(zip(_record_ids(table), found, strict=True))
        here = {name: of_record[name] for name in records["record_id"] if of_record.get(name)}
        lines = {name: write_lines(statements) or [NO_LABEL] for name, statements in here.items()}
        return report_table(
            records,
            AHA,
            lines,
            findings_without_aha_code=sum(
                bool(one.code) and not one.is_of_aha for cell in here.values() for one in cell
            ),
            **count_statements(here.values()),
        )

    def _read_attributes(self, *optional: str) -> pd.DataFrame:
        """Read a row a recording."""
        path = self.root / ATTRIBUTES_FILE
        raw = read_csv_table(path, _COLUMNS, optional=optional)
        refuse_cells(raw["ECG_ID"].is_null().to_pandas(), path, "ECG_ID", "is empty")
        raw, _ = drop_repeated_rows(raw, "ECG_ID", path)
        table: pd.DataFrame = raw.to_pandas()
        return table.reindex(columns=[*_COLUMNS, *optional])


def _record_ids(table: pd.DataFrame) -> pd.Series[str]:
    return "zzu_pecg_" + table["ECG_ID"]


def _to_years(age: object) -> object:
    """Turn days, as ``573d``, into years; what is written otherwise stays as it is.

    >>> [_to_years(age) for age in ("730d", "73", "old")]
    ['2', '0.2', 'old']
    """
    days = _DAYS.fullmatch(str(age).strip())
    return f"{float(days[1]) / _DAYS_OF_YEAR:.9g}" if days else age


ZZU_PECG = Dataset(
    name=NAME,
    title="ZZU pECG",
    open=ZzuPecg,
    coding=AHA,
    needed_files=(ATTRIBUTES_FILE,),
    may_lack_leads=True,
    published_findings={"records": 14190, "patients": 11643, "records_of_12_leads": 12334},
)
