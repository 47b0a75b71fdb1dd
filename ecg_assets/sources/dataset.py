"""What a dataset is: its facts, how it is opened, and the tables that it gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ecg_assets.errors import SettingsError
from ecg_assets.sources.record import Record
from ecg_assets.sources.schema import MEASUREMENTS, OWN_LABELS, RECORD_LIST

_NAME = re.compile(r"(?:ecgbench:)?[a-z0-9][a-z0-9._-]*")


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


RecordingReader = Callable[[Path, str, Sequence[str] | None], Record]
"""Reads a recording: the file, what its path has behind ``#``, and the leads wanted or None."""


class Remote(StrEnum):
    """What of a dataset on a remote file system is copied before its recordings are listed."""

    TABLES = "tables"
    HEADERS = "headers"
    ALL = "all"


@dataclass(frozen=True)
class Folds:
    """The folds that a dataset suggests.

    Attributes
    ----------
    read
        Gives the fold of each recording, by record_id, of the dataset's source.
    train, valid, test
        Folds of each split.
    """

    read: Callable[[Any], pd.Series[int]]
    train: tuple[int, ...]
    valid: tuple[int, ...]
    test: tuple[int, ...]

    def name_splits(self, source: Any) -> dict[str, str]:
        """Name the split of each recording, by record_id; none of a fold that is in no split."""
        members = (("train", self.train), ("valid", self.valid), ("test", self.test))
        names = {fold: name for name, folds in members for fold in folds}
        found = {record_id: names.get(fold) for record_id, fold in self.read(source).items()}
        return {str(record_id): name for record_id, name in found.items() if name}


@dataclass(frozen=True)
class Dataset:
    """All that is known of a dataset without opening it.

    Attributes
    ----------
    name
        ECG_SOURCE, and the folder of its results: small letters, digits, ``.``, ``_``, ``-``.
    title
        Name in sentences.
    open
        Makes its `Source` of the root, reading nothing; further arguments are its `options`.
    coding
        What its report lines are: the name of a coding of `ecg_assets.labels.codings`.
    needed_files
        Files in the root without which it cannot be read, the one that tells it first.
    decisive_file
        File that makes any root one of this dataset, even where another's files lie.
    options
        Settings that shape its record list: of ``folders_per_shard``, ``n_records``, ``seed``.
    is_made_here
        Whether it is written where it is missing, and so needs no ECG_RAW_ROOT.
    remote
        What is copied of a remote root.
    readers
        Readers of recordings that are neither WFDB records nor .npy, .csv or .mat, by the
        ending of their file without its point, in small letters; or by the whole name of their
        file, which goes before its ending.
    folds
        Folds that it suggests, if it does.
    more_folds
        Other folds that it has, by name.
    read_own_labels
        Gives the names of the labels that its recordings bring; for the coding own-labels.
    read_list_rows
        Gives the row of each recording in the dataset's own list, from 0, by record_id, of the
        dataset's source; None where it has no list.
    shares_recordings
        Other datasets with the same recordings under other names, each with a sentence.
    has_shifted_years
        Whether each patient's dates are moved by a number of years of its own.
    may_lack_leads
        Whether some of its recordings have fewer leads: one that lacks a lead that is stored is
        left out, and counts as no unreadable one.
    published_counts
        YAML file with the counts of its labels that were published, if there is one.
    published_findings
        What was published of the whole release, by the name of the record list's finding.
    is_collection
        Whether its recordings come from several databases, which their folder or name tells.
    database_folders
        Folders that name the database below them.
    database_names
        Pattern of records' names to their database, the first that fits.
    facts
        What else shapes its record list, and is stored with it: of ecgbench's datasets the version
        of the package and the fingerprint of the dataset's configuration.
    """

    name: str
    title: str
    open: Callable[..., Source]
    coding: str
    needed_files: tuple[str, ...] = ()
    decisive_file: str = ""
    options: tuple[str, ...] = ()
    is_made_here: bool = False
    remote: Remote = Remote.TABLES
    readers: Mapping[str, RecordingReader] = field(default_factory=dict)
    folds: Folds | None = None
    more_folds: Mapping[str, Folds] = field(default_factory=dict)
    read_own_labels: Callable[[Any], tuple[str, ...]] | None = None
    read_list_rows: Callable[[Any], pd.Series[int]] | None = None
    shares_recordings: Mapping[str, str] = field(default_factory=dict)
    has_shifted_years: bool = False
    may_lack_leads: bool = False
    published_counts: Path | None = None
    published_findings: Mapping[str, int] = field(default_factory=dict)
    is_collection: bool = False
    database_folders: tuple[str, ...] = ()
    database_names: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name is {self.name!r}; expected small letters, digits, '.', '_' or '-'."
            )
        if (self.coding == OWN_LABELS) != (self.read_own_labels is not None):
            raise ValueError(f"the coding {OWN_LABELS} needs read_own_labels, and no other does.")
        wrong = [form for form in self.readers if not re.fullmatch(r"\w+(?:[.-]?\w)*", form)]
        if wrong:
            raise ValueError(
                f"readers are of {wrong}; expected endings without a point, as hdf5, or names of "
                "files, as exams.hdf5."
            )

    def find_folds(self, name: str = "") -> Folds:
        """Give its folds, those that it suggests where no name is given.

        Raises
        ------
        SettingsError
            When it has none, or none of that name.
        """
        found = self.more_folds.get(name) if name else self.folds
        if found is None:
            known = [*(["its own, without a name"] if self.folds else []), *self.more_folds]
            asked = f"folds {name!r}" if name else "folds of its own"
            raise SettingsError(
                f"{self.title} has no {asked}; there are: {', '.join(known) or 'none'}."
            )
        return found


def record_table(
    source: str,
    record_id: pd.Series[str],
    path: Sequence[str] | pd.Series[str],
    shard: Sequence[str] | pd.Series[str] | np.ndarray[Any, Any],
    **known: Any,
) -> pd.DataFrame:
    """Make a record list, as `RECORD_LIST` declares, sorted by shard and record.

    Parameters
    ----------
    source
        Name of the dataset.
    record_id, path, shard
        One a recording.
    known
        Other columns. Of those that are not given ``subject_id`` and ``study_id`` are the
        record's own id, and the others are empty.
    """
    columns = {
        "record_id": record_id,
        "source": source,
        "shard": shard,
        "subject_id": record_id,
        "study_id": record_id,
        "ecg_time": np.datetime64("NaT", "us"),
        "path": path,
        "age": np.nan,
        "sex": None,
    }
    unknown = set(known) - {column.name for column in RECORD_LIST.columns}
    if unknown:
        raise TypeError(f"record_list has no columns {sorted(unknown)}.")
    records = pd.DataFrame({**columns, **known})
    return records.sort_values(["shard", "record_id"], ignore_index=True)


def report_table(
    records: pd.DataFrame,
    coding: str,
    lines_of: Mapping[str, Collection[str]] | Sequence[Collection[str]],
    **findings: int,
) -> SourceTable:
    """Make reports, as `MACHINE_REPORTS` declares, of lines alone, without measurements.

    Parameters
    ----------
    records
        The record list.
    coding
        What the lines are.
    lines_of
        Lines by record_id, or of each record in their order. A record without is not labelled;
        one that was labelled and has no label has the line `ecg_assets.sources.schema.NO_LABEL`.
    findings
        Counts to show beside those of all records and of those without lines.
    """
    ids = records["record_id"]
    found = [lines_of.get(i, ()) for i in ids] if isinstance(lines_of, Mapping) else lines_of
    lines = [list(of_record) for of_record in found]
    reports = pd.DataFrame(
        {
            "record_id": ids.to_numpy(),
            "coding": coding,
            "lines": pd.Series(lines, dtype=object),
            **dict.fromkeys(MEASUREMENTS, np.nan),
        }
    )
    n_without = sum(not of_record for of_record in lines)
    return SourceTable(
        reports, {"records": len(reports), "records_without_report": n_without, **findings}
    )
