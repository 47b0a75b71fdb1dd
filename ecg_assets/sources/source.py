"""What every source offers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd


@dataclass(frozen=True)
class SourceTable:
    """A table of a source, and what was found while reading it.

    Attributes
    ----------
    table
        Rows in a declared schema.
    findings
        Counts to show, by name in snake case.
    unreadable_headers
        Paths below the root of headers that could not be read.
    """

    table: pd.DataFrame
    findings: dict[str, int]
    unreadable_headers: tuple[str, ...] = ()


class Source(Protocol):
    """A dataset on disk."""

    @property
    def name(self) -> str:
        """Name as in ECG_SOURCE."""

    @property
    def root(self) -> Path:
        """Folder that the records' paths start from."""

    def read_records(self) -> SourceTable:
        """Read the record list, as `RECORD_LIST` declares, sorted by shard and record."""

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the reports of these records, as `MACHINE_REPORTS` declares, in their order.

        A record without a report has a row without lines.
        """
