"""A folder of the user's own recordings, with labels.csv beside them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import SchemaError, SettingsError
from ecg_assets.sources.dataset import (
    Dataset,
    Remote,
    SourceTable,
    record_table,
    report_table,
)
from ecg_assets.sources.dataset_tables import (
    bounded_name,
    canonical_identifier,
    count_not_understood,
    parse_demographics,
    parse_times,
    shards_of_paths,
)
from ecg_assets.sources.file_limits import list_visible_files
from ecg_assets.sources.folder.labels import LABELS_FILE, FolderLabels, read_folder_labels
from ecg_assets.sources.folder.settings import SETTINGS_FILE, FolderSettings, load_folder_settings
from ecg_assets.sources.schema import OWN_LABELS

# Find the recordings that lie below a folder, whatever their format.


_ARRAYS = (".npy", ".csv", ".mat")
_BESIDE_HEADER = (".hea", ".dat", ".mat")


def find_recordings(root: Path) -> dict[str, str]:
    """Find all recordings below the root: path without extension to path, sorted.

    A WFDB record's path has no extension, that of an array (.npy, .csv, .mat) has.

    Raises
    ------
    SchemaError
        When two files would be one recording, as ``a.npy`` and ``a.csv``.
    """
    files = list_visible_files(root)
    headers = {name.removesuffix(".hea") for name in files if name.endswith(".hea")}
    found = {stem: [stem] for stem in headers}
    for name in files:
        stem, extension = os.path.splitext(name)  # noqa: PTH122
        if extension not in _ARRAYS or (extension == ".mat" and stem in headers):
            continue
        if name != LABELS_FILE:
            found.setdefault(stem, []).append(name)
    twice = sorted(stem for stem, names in found.items() if len(names) > 1)
    if twice:
        names = [f"{name}.hea" if name == twice[0] else name for name in found[twice[0]]]
        raise SchemaError(
            f"{len(twice)} recordings are there in two formats, first {' and '.join(names)}. "
            "Names without extension must be unique below ECG_RAW_ROOT: remove one."
        )
    return {stem: names[0] for stem, names in sorted(found.items())}


def resolve_file(file: str, recordings: Mapping[str, str]) -> str | None:
    """Find the recording that labels.csv means, named with or without extension.

    A name that is a number may be written as pandas writes it: ``1.0`` for ``1``.

    >>> recordings = {"a/1": "a/1.npy", "b": "b"}
    >>> [resolve_file(name, recordings) for name in ("a/1", "a/1.npy", "b.dat", "a/1.csv")]
    ['a/1.npy', 'a/1.npy', 'b', None]
    >>> resolve_file("a/1.0", recordings)
    'a/1.npy'
    """
    folder, slash, name = file.rpartition("/")
    for written in (file, folder + slash + canonical_identifier(name)):
        if written in recordings:
            return recordings[written]
    stem, extension = os.path.splitext(file)  # noqa: PTH122
    path = recordings.get(stem)
    is_meant = path == file or (path == stem and extension in _BESIDE_HEADER)
    return path if is_meant else None


NAME = "folder"

_EXTENSION = re.compile(r"\.(?:npy|csv|mat|hea|dat)$")
_WFDB_EXTENSION = re.compile(r"\.(?:hea|dat)$")


@dataclass(frozen=True)
class Folder:
    """WFDB records, .npy, .csv and .mat files below `root`, in any sub-folders.

    labels.csv in the root says which of them are used and what is known of each; without it
    all are used and nothing is known. folder.yaml says what .npy, .csv and .mat do not: sample
    rate, leads, unit.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """List the recordings of labels.csv; without labels.csv, all that lie below the root.

        A row whose file is not there is counted and stays, so that preprocessing rejects it
        by name. A recording without a patient is a patient of its own: no split can keep it
        together with others of the same person. Such are counted.

        Raises
        ------
        SettingsError
            When there is no recording, or folder.yaml lacks what the files need.
        SchemaError
            When labels.csv cannot be read, or two recordings have one name.
        """
        recordings = find_recordings(self.root)
        if (self.root / LABELS_FILE).is_file():
            found = self._list_labelled(read_folder_labels(self.root), recordings)
        else:
            found = self._list_all(recordings)
        _require_settings(found.table["path"], load_folder_settings(self.root), self.root)
        return found

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the names of each recording's labels that are 1, in the columns' order.

        A recording whose labels are all 0 has the line `NO_LABEL`. An empty cell has a line that
        says so, and is neither 1 nor 0; a recording with nothing but empty cells has no lines: it
        is not labelled. Numbers of columns with a unit have a line each.
        """
        lines: dict[str, list[str]] = {}
        n_empty_cells = 0
        if (self.root / LABELS_FILE).is_file():
            labels = read_folder_labels(self.root)
            paths = _resolve_all(labels, find_recordings(self.root))
            lines = dict(zip(map(_record_id, paths), labels.lines(), strict=True))
            n_empty_cells = int(np.isnan(labels.values).sum())
        return report_table(records, OWN_LABELS, lines, empty_label_cells=n_empty_cells)

    def read_label_names(self) -> tuple[str, ...]:
        """Read the names of the labels, in the order of labels.csv's columns."""
        is_there = (self.root / LABELS_FILE).is_file()
        return read_folder_labels(self.root).names if is_there else ()

    def _list_labelled(self, labels: FolderLabels, recordings: Mapping[str, str]) -> SourceTable:
        paths = _resolve_all(labels, recordings)
        there = set(recordings.values())
        record_ids = pd.Series([_record_id(path) for path in paths], dtype=str)
        _require_unique(record_ids, self.root / LABELS_FILE)
        known = parse_demographics(labels.age, labels.sex)
        times = parse_times(labels.time)
        rated = [_with_rate(*pair) for pair in zip(paths, labels.sample_rate_hz, strict=True)]
        records = record_table(
            self.name,
            record_ids,
            path=rated,
            shard=shards_of_paths(pd.Series(rated, dtype=str)),
            subject_id=labels.patient.where(labels.patient.notna(), record_ids),
            ecg_time=times,
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(
            records,
            {
                "records": len(records),
                "records_without_patient": int(labels.patient.isna().sum()),
                "rows_without_file": sum(path not in there for path in paths),
                "files_not_in_labels_csv": len(there - set(paths)),
                "patients_in_two_spellings": labels.n_patients_in_two_spellings,
                "times_not_understood": count_not_understood(labels.time, times.notna()),
                **known.findings,
            },
        )

    def _list_all(self, recordings: Mapping[str, str]) -> SourceTable:
        if not recordings:
            raise SettingsError(
                f"ECG_RAW_ROOT is {self.root}, which holds neither {LABELS_FILE} nor a recording "
                "(.hea, .npy, .csv or .mat) in any sub-folder; set it to the folder of your data."
            )
        record_ids = pd.Series([_record_id(path) for path in recordings.values()], dtype=str)
        _require_unique(record_ids, self.root)
        paths = pd.Series(list(recordings.values()), dtype=str)
        records = record_table(self.name, record_ids, paths, shards_of_paths(paths))
        return SourceTable(
            records, {"records": len(records), "records_without_patient": len(records)}
        )


def _resolve_all(labels: FolderLabels, recordings: Mapping[str, str]) -> list[str]:
    """Path of each row's recording; as written, without .hea or .dat, where there is none."""
    return [resolve_file(file, recordings) or _WFDB_EXTENSION.sub("", file) for file in labels.file]


def _record_id(path: str) -> str:
    """Name a recording by its whole path: folders of patients often hold files of one name."""
    return bounded_name(_EXTENSION.sub("", path).replace("/", "-"))


def _with_rate(path: str, rate: float) -> str:
    """Write the sample rate that labels.csv states behind the path; a WFDB record has its own."""
    if math.isnan(rate) or not path.endswith((".npy", ".csv", ".mat")):
        return path
    return f"{path}#{float(rate)!r}"


def _require_unique(record_ids: pd.Series[str], where: Path) -> None:
    shared = np.flatnonzero(record_ids.duplicated(keep=False))
    if len(shared):
        rows = (shared[record_ids.iloc[shared] == record_ids.iloc[shared[0]]] + 1).tolist()
        raise SchemaError(
            f"{where}: {len(shared)} recordings share a name with another (folders and name "
            f"joined by '-'), first {record_ids.iloc[shared[0]]!r}, recordings {rows[:4]}. "
            "Each must be there once: remove or rename the others."
        )


def _require_settings(paths: pd.Series[str], settings: FolderSettings, root: Path) -> None:
    """Refuse a folder whose files do not say enough to be read."""
    lacking = []
    if not settings.sample_rate_hz and paths.str.endswith((".npy", ".csv")).any():
        lacking.append("sample_rate_hz: 500")
    if not settings.leads and paths.str.contains(r"\.(?:npy|mat)(?:#.*)?$").any():
        lacking.append("leads: [I, II, III, aVR, aVL, aVF, V1, V2, V3, V4, V5, V6]")
    if lacking:
        raise SettingsError(
            f"Files below {root} do not say their sample rate or leads. Write the file "
            f"{root / SETTINGS_FILE} with what is true for them, for instance:\n"
            + "\n".join(lacking)
        )


FOLDER = Dataset(
    name=NAME,
    title="your own recordings",
    open=Folder,
    coding=OWN_LABELS,
    decisive_file=LABELS_FILE,
    remote=Remote.ALL,
    read_own_labels=Folder.read_label_names,
)
