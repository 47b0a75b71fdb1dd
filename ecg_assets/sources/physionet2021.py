"""PhysioNet/CinC Challenge 2021: a tree of WFDB headers with diagnosis codes.

https://doi.org/10.13026/34va-7q14. The dataset names no patients, so each record counts as a
patient of its own: a split by patient cannot keep two recordings of one person together.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
from ecg_assets.sources.demographics import parse_ages, parse_sexes
from ecg_assets.sources.schema import MEASUREMENTS, SNOMED_CT
from ecg_assets.sources.shard_keys import shards_of_paths
from ecg_assets.sources.source import SourceTable
from ecg_assets.sources.wfdb_header import read_header


@dataclass(frozen=True)
class PhysioNet2021:
    """All .hea files below `root`, in any sub-folders; each is a record."""

    root: Path
    name: str = "physionet-2021"

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
        paths = pd.Series(_find_records(self.root), dtype=str)
        if paths.empty:
            raise SettingsError(
                f"ECG_RAW_ROOT is {self.root}, which holds no .hea file in any sub-folder; "
                "set it to the folder of the PhysioNet 2021 training data."
            )
        names = paths.str.rpartition("/")[2]
        _require_unique(names, paths)
        fields, unreadable = self._read_comments(paths)
        ages, n_out_of_range = parse_ages(pd.Series([c.get("age") for c in fields]))
        records = pd.DataFrame(
            {
                "record_id": names,
                "source": self.name,
                "shard": shards_of_paths(paths),
                "subject_id": names,
                "study_id": names,
                "ecg_time": np.datetime64("NaT", "us"),
                "path": paths,
                "age": ages,
                "sex": parse_sexes(pd.Series([c.get("sex") for c in fields])),
            }
        )
        return SourceTable(
            records.sort_values(["shard", "record_id"], ignore_index=True),
            {
                "records": len(records),
                "unreadable_headers": len(unreadable),
                "ages_out_of_range": n_out_of_range,
                "records_without_age": int(np.isnan(ages).sum()),
                "records_without_sex": int(records["sex"].isna().sum()),
            },
            unreadable,
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the SNOMED CT codes of these records, out of the headers' ``# Dx:``."""
        fields, unreadable = self._read_comments(records["path"])
        entries = [[e.strip() for e in f.get("dx", "").split(",") if e.strip()] for f in fields]
        codes = [[entry for entry in line if entry.isdecimal()] for line in entries]
        reports = pd.DataFrame(
            {
                "record_id": records["record_id"].to_numpy(),
                "coding": SNOMED_CT,
                "lines": pd.Series(codes, dtype=object),
                **dict.fromkeys(MEASUREMENTS, np.nan),
            }
        )
        return SourceTable(
            reports,
            {
                "records": len(reports),
                "records_without_report": sum(not line for line in codes),
                "codes": sum(map(len, codes)),
                "entries_that_are_no_code": sum(map(len, entries)) - sum(map(len, codes)),
                "unreadable_headers": len(unreadable),
            },
            unreadable,
        )

    def _read_comments(self, paths: Iterable[str]) -> tuple[list[dict[str, str]], tuple[str, ...]]:
        """Comments of each header by name, none of an unreadable one; and which those are."""
        found = {path: self._try_to_read(path) for path in paths}
        unreadable = tuple(f"{path}.hea" for path, fields in found.items() if fields is None)
        return [fields or {} for fields in found.values()], unreadable

    def _try_to_read(self, path: str) -> dict[str, str] | None:
        try:
            return read_header(self.root / path, root=self.root).comment_fields()
        except BadRecord:
            return None


def _find_records(root: Path) -> list[str]:
    """Paths below the root of all headers, without extension, sorted."""
    found = []
    for folder, _, files in os.walk(root):
        below = Path(folder).relative_to(root)
        # "._name.hea" is what macOS leaves beside a file, not a header.
        found += [
            (below / name[: -len(".hea")]).as_posix()
            for name in files
            if name.endswith(".hea") and not name.startswith(".")
        ]
    return sorted(found)


def _require_unique(names: pd.Series[str], paths: pd.Series[str]) -> None:
    twice = names[names.duplicated(keep=False)]
    if len(twice):
        same = paths[names == twice.iloc[0]].tolist()
        raise SchemaError(
            f"{twice.nunique()} record names occur more than once, first {same[0]}.hea and "
            f"{same[1]}.hea. Names must be unique below ECG_RAW_ROOT: remove the copies."
        )
