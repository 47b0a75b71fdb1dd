"""PhysioNet/CinC Challenge 2021: a tree of WFDB headers with diagnosis codes.

https://doi.org/10.13026/34va-7q14. The dataset names no patients, so each record counts as a
patient of its own: a split by patient cannot keep two recordings of one person together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
from ecg_assets.sources.dataset import (
    Dataset,
    Remote,
    SourceTable,
    record_table,
    report_table,
)
from ecg_assets.sources.dataset_tables import bounded_name, parse_demographics, shards_of_paths
from ecg_assets.sources.file_limits import list_visible_files
from ecg_assets.sources.wfdb.header import CommentFields, read_header

NAME = "physionet-2021"
SNOMED_CT = "snomed-ct"

_DATABASE_FOLDERS = (
    "cpsc_2018",
    "cpsc_2018_extra",
    "st_petersburg_incart",
    "ptb",
    "ptb-xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)
_DATABASE_NAMES = {
    r"A\d{4}": "cpsc_2018",
    r"Q\d{4}": "cpsc_2018_extra",
    r"I\d{4}": "st_petersburg_incart",
    r"S\d{4}": "ptb",
    r"HR\d{5}": "ptb-xl",
    r"E\d{5}": "georgia",
    # One numbering of two hospitals; JS10646 is the last of Chapman-Shaoxing.
    r"JS(?:0\d{4}|10[0-5]\d\d|106[0-3]\d|1064[0-6])": "chapman_shaoxing",
    r"JS\d{5}": "ningbo",
}


@dataclass(frozen=True)
class PhysioNet2021:
    """All .hea files below `root`, in any sub-folders; each is a record."""

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """Read age and sex of every header.

        A header that cannot be read is counted and listed; its record stays in the table,
        so that preprocessing rejects it by name.

        Raises
        ------
        SettingsError
            When there is no header below the root.
        SchemaError
            When two headers have one name.
        """
        headers = (name for name in list_visible_files(self.root) if name.endswith(".hea"))
        paths = pd.Series(sorted(name.removesuffix(".hea") for name in headers), dtype=str)
        if paths.empty:
            raise SettingsError(
                f"ECG_RAW_ROOT is {self.root}, which holds no .hea file in any sub-folder; "
                "set it to the folder of the PhysioNet 2021 training data."
            )
        names = paths.str.rpartition("/")[2]
        _require_unique(names, paths)
        names = names.map(bounded_name)
        fields, unreadable = self._read_comments(paths)
        known = parse_demographics(
            pd.Series([c.get("age") for c in fields], dtype=object),
            pd.Series([c.get("sex") for c in fields], dtype=object),
        )
        records = record_table(
            self.name,
            names,
            path=paths,
            shard=shards_of_paths(paths),
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(
            records,
            {
                "records": len(records),
                "unreadable_headers": len(unreadable),
                "headers_with_conflicting_age_or_sex": sum(
                    c.contradicts("age") or c.contradicts("sex") for c in fields
                ),
                **known.findings,
            },
            unreadable,
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the SNOMED CT codes of these records, out of the headers' ``# Dx:``.

        A header with several such lines has the codes of all, and is counted.
        """
        fields, unreadable = self._read_comments(records["path"])
        entries = [_split_codes(f.values.get("dx", ())) for f in fields]
        codes = [[entry for entry in line if entry.isdecimal()] for line in entries]
        found = report_table(
            records,
            SNOMED_CT,
            codes,
            codes=sum(map(len, codes)),
            headers_with_several_dx_lines=sum(len(f.values.get("dx", ())) > 1 for f in fields),
            entries_that_are_no_code=sum(map(len, entries)) - sum(map(len, codes)),
            unreadable_headers=len(unreadable),
        )
        return replace(found, unreadable_headers=unreadable)

    def _read_comments(self, paths: Iterable[str]) -> tuple[list[CommentFields], tuple[str, ...]]:
        """Comments of each header, none of an unreadable one; and which those are."""
        found = {path: self._try_to_read(path) for path in paths}
        unreadable = tuple(f"{path}.hea" for path, fields in found.items() if fields is None)
        return [fields or CommentFields({}) for fields in found.values()], unreadable

    def _try_to_read(self, path: str) -> CommentFields | None:
        try:
            return CommentFields(read_header(self.root / path, root=self.root).comment_values())
        except BadRecord:
            return None


def _split_codes(lines: Sequence[str]) -> list[str]:
    """Entries of the first line of codes, then those that only a later one has, in their order."""
    found: list[str] = []
    for number, line in enumerate(lines):
        entries = [entry.strip() for entry in line.split(",")]
        found += [e for e in entries if e and (number == 0 or e not in found)]
    return found


def _require_unique(names: pd.Series[str], paths: pd.Series[str]) -> None:
    twice = names[names.duplicated(keep=False)]
    if len(twice):
        same = paths[names == twice.iloc[0]].tolist()
        raise SchemaError(
            f"{twice.nunique()} record names occur more than once, first {same[0]}.hea and "
            f"{same[1]}.hea. Names must be unique below ECG_RAW_ROOT: remove the copies."
        )


PHYSIONET_2021 = Dataset(
    name=NAME,
    title="PhysioNet 2021",
    open=PhysioNet2021,
    coding=SNOMED_CT,
    remote=Remote.HEADERS,
    shares_recordings={
        "ptb-xl": "PhysioNet 2021 contains the recordings of PTB-XL (its folder ptb-xl), under "
        "other names."
    },
    is_collection=True,
    database_folders=_DATABASE_FOLDERS,
    database_names=_DATABASE_NAMES,
)
