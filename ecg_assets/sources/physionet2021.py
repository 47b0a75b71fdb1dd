"""PhysioNet/CinC Challenge 2021: a tree of WFDB headers with diagnosis codes.

https://doi.org/10.13026/34va-7q14. The dataset names no patients: each record counts as its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.sources.schema import MEASUREMENTS, SNOMED_CT
from ecg_assets.sources.shard_keys import require_few_shards
from ecg_assets.sources.source import SourceTable
from ecg_assets.sources.wfdb_header import Header, read_header

_SEX = {"male": "M", "m": "M", "female": "F", "f": "F"}


@dataclass(frozen=True)
class PhysioNet2021:
    """All .hea files below `root`, in any sub-folders."""

    root: Path
    name: str = "physionet-2021"

    def read_records(self) -> SourceTable:
        """Read every header; an unreadable one is counted, and stays to be rejected."""
        paths = sorted(self.root.rglob("*.hea"))
        _require_unique_names(paths)
        rows, n_unreadable = [], 0
        for path in paths:
            comments: dict[str, str] = {}
            try:
                comments = _comments(read_header(path))
            except BadRecord:
                n_unreadable += 1
            rows.append(self._row(path, comments))
        records = pd.DataFrame(rows).sort_values(["shard", "record_id"], ignore_index=True)
        require_few_shards(records["shard"], advice="Set ECG_RAW_ROOT to fewer folders.")
        return SourceTable(
            records,
            {
                "records": len(records),
                "unreadable_headers": n_unreadable,
                "records_without_age": int(records["age"].isna().sum()),
                "records_without_sex": int(records["sex"].isna().sum()),
            },
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the ``# Dx:`` codes of these records."""
        lines = []
        for path in records["path"]:
            try:
                codes = _comments(read_header(self.root / path)).get("dx", "")
            except BadRecord:
                codes = ""
            lines.append([code.strip() for code in codes.split(",") if code.strip()])
        reports = pd.DataFrame(
            {
                "record_id": records["record_id"].to_numpy(),
                "coding": SNOMED_CT,
                "lines": pd.Series(lines, dtype=object),
                **dict.fromkeys(MEASUREMENTS, np.nan),
            }
        )
        return SourceTable(
            reports,
            {
                "records": len(reports),
                "records_without_codes": sum(not codes for codes in lines),
                "codes": sum(map(len, lines)),
            },
        )

    def _row(self, path: Path, comments: dict[str, str]) -> dict[str, object]:
        folder = path.parent.relative_to(self.root)
        return {
            "record_id": path.stem,
            "source": self.name,
            "shard": "-".join(folder.parts) or "root",
            "subject_id": path.stem,
            "study_id": path.stem,
            "ecg_time": pd.NaT,
            "path": (folder / path.stem).as_posix(),
            "age": pd.to_numeric(comments.get("age", "nan"), errors="coerce"),
            "sex": _SEX.get(comments.get("sex", "").lower()),
        }


def _comments(header: Header) -> dict[str, str]:
    """Comments of the form ``name: value``, by lower-case name."""
    pairs = (line.partition(":") for line in header.comments)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _require_unique_names(paths: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for path in paths:
        if path.stem in seen:
            raise SchemaError(
                f"Two records are named {path.stem}: {seen[path.stem]} and {path}. "
                "A record's name must be unique below ECG_RAW_ROOT."
            )
        seen[path.stem] = path
