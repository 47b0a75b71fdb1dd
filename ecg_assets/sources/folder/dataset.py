"""A folder of the user's own recordings, with labels.csv beside them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
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
from ecg_assets.sources.folder.hospital import (
    HOSPITAL_ENDINGS,
    HospitalFacts,
    is_hospital_file,
    read_hospital_facts,
    read_hospital_recording,
    require_hospital_reader,
)
from ecg_assets.sources.folder.labels import LABELS_FILE, FolderLabels, read_folder_labels
from ecg_assets.sources.folder.settings import SETTINGS_FILE, FolderSettings, load_folder_settings
from ecg_assets.sources.schema import MEASUREMENTS, OWN_LABELS, REPORT_TEXT

# Find the recordings that lie below a folder, whatever their format.


_ARRAYS = (".npy", ".csv", ".mat")
_BESIDE_HEADER = (".hea", ".dat", ".mat")


def find_recordings(root: Path) -> dict[str, str]:
    """Find all recordings below the root: path without extension to path, sorted.

    A WFDB record's path has no extension, that of an array (.npy, .csv, .mat) and of a
    hospital's file (.dcm, .xml, .scp) has.

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
        is_array = extension in _ARRAYS and not (extension == ".mat" and stem in headers)
        if not is_array and not is_hospital_file(name):
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

_EXTENSION = re.compile(rf"\.(?:npy|csv|mat|hea|dat|(?i:{'|'.join(HOSPITAL_ENDINGS)}))$")
_WFDB_EXTENSION = re.compile(r"\.(?:hea|dat)$")


@dataclass(frozen=True)
class Folder:
    """WFDB records, .npy, .csv, .mat and hospitals' files below `root`, in any sub-folders.

    labels.csv in the root says which of them are used and what is known of each; without it
    all are used and nothing is known but what hospitals' files (.dcm, .xml, .scp) say of
    themselves. folder.yaml says what .npy, .csv and .mat do not: sample rate, leads, unit.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """List the recordings of labels.csv; without labels.csv, all that lie below the root.

        A row whose file is not there is counted and stays, so that preprocessing rejects it
        by name. A recording without a patient is a patient of its own: no split can keep it
        together with others of the same person. Such are counted.

        What labels.csv leaves empty of age and sex is taken from a hospital's file. Of patients
        it counts alone where it has any: the pseudonyms that files give would be others.

        Raises
        ------
        SettingsError
            When there is no recording, folder.yaml lacks what the files need, or the extra
            ``hospital`` is not installed that files of hospitals need.
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

        Without labels of its own, a folder with files of hospitals has their machines' statements
        as report text. Their measurements are there in any case.
        """
        said = self._read_said(records["path"])
        labels = read_folder_labels(self.root) if (self.root / LABELS_FILE).is_file() else None
        if said and not (labels and (labels.names or labels.measured_names)):
            found = _report_statements(records, said)
        else:
            found = self._report_labels(records, labels)
        for name in MEASUREMENTS if said else ():
            stated = [_said_of(said, path).measurements.get(name) for path in records["path"]]
            found.table[name] = np.array(stated, dtype=np.float64)
        return found

    def _report_labels(self, records: pd.DataFrame, labels: FolderLabels | None) -> SourceTable:
        lines: dict[str, list[str]] = {}
        n_empty_cells = 0
        if labels is not None:
            paths = _resolve_all(labels, find_recordings(self.root))
            lines = dict(zip(map(_record_id, paths), labels.lines(), strict=True))
            n_empty_cells = int(np.isnan(labels.values).sum())
        return report_table(records, OWN_LABELS, lines, empty_label_cells=n_empty_cells)

    def _read_said(self, paths: Iterable[str]) -> dict[str, HospitalFacts | None]:
        """Read what hospitals' files say beside their signal; None of one that cannot be read."""
        said: dict[str, HospitalFacts | None] = {}
        for path in filter(is_hospital_file, paths):
            require_hospital_reader()
            try:
                said[path] = read_hospital_facts(self.root / path, root=self.root)
            except BadRecord:  # preprocessing will reject it, with its reason
                said[path] = None
        return said

    def read_label_names(self) -> tuple[str, ...]:
        """Read the names of the labels, in the order of labels.csv's columns."""
        is_there = (self.root / LABELS_FILE).is_file()
        return read_folder_labels(self.root).names if is_there else ()

    def _list_labelled(self, labels: FolderLabels, recordings: Mapping[str, str]) -> SourceTable:
        paths = _resolve_all(labels, recordings)
        there = set(recordings.values())
        record_ids = pd.Series([_record_id(path) for path in paths], dtype=str)
        _require_unique(record_ids, self.root / LABELS_FILE)
        said = self._read_said(paths)
        known = parse_demographics(
            _fill(labels.age, paths, said, "age"), _fill(labels.sex, paths, said, "sex")
        )
        patients = labels.patient
        if patients.isna().all():
            patients = _fill(patients, paths, said, "patient")
        times = parse_times(labels.time)
        rated = [_with_rate(*pair) for pair in zip(paths, labels.sample_rate_hz, strict=True)]
        records = record_table(
            self.name,
            record_ids,
            path=rated,
            shard=shards_of_paths(pd.Series(rated, dtype=str)),
            subject_id=patients.where(patients.notna(), record_ids),
            ecg_time=times,
            age=known.age,
            sex=known.sex,
        )
        return SourceTable(
            records,
            {
                "records": len(records),
                "records_without_patient": int(patients.isna().sum()),
                "rows_without_file": sum(path not in there for path in paths),
                "files_not_in_labels_csv": len(there - set(paths)),
                "patients_in_two_spellings": labels.n_patients_in_two_spellings,
                "times_not_understood": count_not_understood(labels.time, times.notna()),
                **known.findings,
                **_count_said(said),
            },
        )

    def _list_all(self, recordings: Mapping[str, str]) -> SourceTable:
        if not recordings:
            raise SettingsError(
                f"ECG_RAW_ROOT is {self.root}, which holds neither {LABELS_FILE} nor a recording "
                "(.hea, .npy, .csv, .mat, .dcm, .xml or .scp) in any sub-folder; set it to the "
                "folder of your data."
            )
        record_ids = pd.Series([_record_id(path) for path in recordings.values()], dtype=str)
        _require_unique(record_ids, self.root)
        paths = pd.Series(list(recordings.values()), dtype=str)
        said = self._read_said(paths)
        nothing = pd.Series(None, index=paths.index, dtype=object)
        known = parse_demographics(
            _fill(nothing, paths, said, "age"), _fill(nothing, paths, said, "sex")
        )
        patients = _fill(nothing, paths, said, "patient")
        records = record_table(
            self.name,
            record_ids,
            paths,
            shards_of_paths(paths),
            subject_id=patients.where(patients.notna(), record_ids),
            age=known.age,
            sex=known.sex,
        )
        findings = {"records": len(records), "records_without_patient": int(patients.isna().sum())}
        more = {**known.findings, **_count_said(said)} if said else {}
        return SourceTable(records, {**findings, **more})


def _said_of(said: Mapping[str, HospitalFacts | None], path: str) -> HospitalFacts:
    return said.get(path) or HospitalFacts()


def _fill(
    column: pd.Series[str],
    paths: Iterable[str],
    said: Mapping[str, HospitalFacts | None],
    name: str,
) -> pd.Series[str]:
    """Fill the empty cells of a column, as text, with what the files say."""
    stated = [getattr(_said_of(said, path), name) for path in paths]
    texts = [None if value is None else str(value) for value in stated]
    filled = column.astype(object).where(column.notna(), pd.Series(texts, column.index, object))
    return filled.where(filled.notna(), None)


def _count_said(said: Mapping[str, HospitalFacts | None]) -> dict[str, int]:
    if not said:
        return {}
    return {
        "hospital_files": len(said),
        "hospital_files_unreadable": sum(facts is None for facts in said.values()),
    }


def _report_statements(
    records: pd.DataFrame, said: Mapping[str, HospitalFacts | None]
) -> SourceTable:
    of_each = [_said_of(said, path) for path in records["path"]]
    n_by_people = sum(bool(facts.lines) and not facts.is_machine for facts in of_each)
    return report_table(
        records, REPORT_TEXT, [facts.lines for facts in of_each], reports_by_people=n_by_people
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
    readers=dict.fromkeys(HOSPITAL_ENDINGS, read_hospital_recording),
    read_own_labels=Folder.read_label_names,
)
