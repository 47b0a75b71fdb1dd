"""Recordings sorted into one folder a condition, as those who fine-tune ECGFounder have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from ecg_assets.errors import BadRecord, SchemaError, SettingsError
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.sources.dataset import (
    Dataset,
    Remote,
    SourceTable,
    record_table,
    report_table,
)
from ecg_assets.sources.dataset_tables import bounded_name, canonical_identifier, parse_demographics
from ecg_assets.sources.file_limits import (
    MOST_VALUES,
    list_visible_files,
    require_inside_root,
    require_plain_name,
)
from ecg_assets.sources.wfdb.header import CommentFields, Header, read_header

NAME = "condition-folders"
CONDITION_FOLDER = "condition-folder"

# Names of the folders that hold the recordings of one condition each.


CONDITIONS = (
    "NORMAL",
    "Sinus_Rhythm",
    "Atrial Fibrillation",
    "Atrial Flutter",
    "1st-degree AV block",
    "Right bundle branch block",
    "Left bundle branch block",
)
"""Folders as those who fine-tune ECGFounder on six conditions have them."""

_SEPARATORS = re.compile(r"[\s_-]+")


def _plain(name: str) -> str:
    return _SEPARATORS.sub(" ", name.strip()).casefold()


_CONDITION_OF = {_plain(name): name for name in CONDITIONS}


def find_condition(folder: str) -> str | None:
    """Find the condition that a folder's name means; case, blanks, ``_`` and ``-`` do not count.

    >>> find_condition("1st Degree AV Block"), find_condition("Ischemia")
    ('1st-degree AV block', None)
    """
    return _CONDITION_OF.get(_plain(folder))


def list_condition_folders(root: Path) -> dict[str, str]:
    """List the folders right below the root with the condition of each, sorted by name.

    Hidden folders, and files, are passed over. Two folders may be of one condition.

    Raises
    ------
    SettingsError
        When a folder is of no known condition, or there is no folder at all.
    """
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    unknown = [name for name in names if find_condition(name) is None]
    expected = ", ".join(f"'{name}'" for name in CONDITIONS)
    if unknown:
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, whose folders {unknown[:10]} are none of the conditions "
            f"{expected}. Rename them, or move them elsewhere; recordings with labels of your own "
            "are ECG_SOURCE=folder."
        )
    if not names:
        raise SettingsError(
            f"ECG_RAW_ROOT is {root}, which holds no folder; ECG_SOURCE=condition-folders needs "
            f"one or more of {expected}, each with its recordings."
        )
    return {name: _CONDITION_OF[_plain(name)] for name in names}


# Tell copies of one recording by what it holds, whatever its name.


_MOST_BYTES = 4 * MOST_VALUES
_ENOUGH_LEADS = 8
"""Leads whose checksums tell a recording: 16 bits each, 8 of 12 leads being independent."""


def identify_signal(header: Header, folder: Path) -> str | None:
    """Fingerprint of the samples that a header describes; equal for copies in other files.

    With eight leads or more it is made of their checksums, so that no sample is read;
    otherwise of the signal files' bytes.

    Parameters
    ----------
    header
        Header of one segment.
    folder
        Folder of the signal files.

    Returns
    -------
    str or None
        None where the header has too few checksums and a signal file is not there, or is
        larger than recordings are.
    """
    checksums = {signal.lead: signal.checksum for signal in header.signals}
    # A writer that computes no checksums leaves them out, or writes 0 in each.
    is_stated = None not in checksums.values() and any(checksums.values())
    if is_stated and len(checksums) >= _ENOUGH_LEADS:
        return fingerprint_json([header.sample_rate, header.n_samples, checksums])
    files = [folder / name for name in sorted({signal.file_name for signal in header.signals})]
    if not files or not all(_can_be_read(file) for file in files):
        return None
    return fingerprint_json([fingerprint_file(file) for file in files])


def _can_be_read(file: Path) -> bool:
    return file.is_file() and file.stat().st_size <= _MOST_BYTES


# Recordings in folders of conditions: the copies of one are one, with all its conditions.


@dataclass(frozen=True)
class Copy:
    """One header below a folder of a condition.

    Attributes
    ----------
    path
        Path below the root, without extension.
    condition
        One of `CONDITIONS`.
    content
        Fingerprint of its samples; None where nothing tells them.
    has_files
        Whether its signal files are there.
    fields
        Values of the header's comments by name; None where the header cannot be read.
    """

    path: str
    condition: str
    content: str | None = None
    has_files: bool = False
    fields: Mapping[str, Sequence[str]] | None = field(default=None, hash=False)

    @property
    def name(self) -> str:
        """Name of the record."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class ConditionRecording:
    """A recording with the conditions of all folders that it lies in.

    Attributes
    ----------
    record_id
        Name of the record; of copies under several names the first.
    path
        Path of a copy whose files are there, if any are.
    conditions
        Sorted.
    n_copies
        Headers that describe it.
    fields
        Comments of its headers.
    """

    record_id: str
    path: str
    conditions: tuple[str, ...]
    n_copies: int
    fields: CommentFields = field(hash=False)


def read_copy(root: Path, path: str, condition: str) -> Copy:
    """Read a header below the root, and what tells its samples."""
    try:
        header = read_header(root / path, root=root)
        for signal in header.signals:
            require_plain_name(signal.file_name)
            require_inside_root((root / path).with_name(signal.file_name), root)
    except BadRecord:
        return Copy(path, condition)
    folder = (root / path).parent
    names = {signal.file_name for signal in header.signals}
    return Copy(
        path,
        condition,
        identify_signal(header, folder),
        all((folder / name).is_file() for name in names),
        header.comment_values(),
    )


def join_copies(copies: Iterable[Copy]) -> list[ConditionRecording]:
    """Make one recording of headers with equal samples or equal names, sorted by record.

    Raises
    ------
    SchemaError
        When two headers of one name describe different samples.
    """
    by_name: dict[str, list[Copy]] = {}
    for copy in copies:
        by_name.setdefault(copy.name, []).append(copy)
    first_name: dict[str, str] = {}
    joined: dict[str, list[Copy]] = {}
    for name, group in sorted(by_name.items()):
        content = _find_content(name, group)
        leader = first_name.setdefault(content, name) if content else name
        joined.setdefault(leader, []).extend(group)
    return [_join(name, group) for name, group in joined.items()]


def _find_content(name: str, group: list[Copy]) -> str | None:
    contents = {copy.content for copy in group if copy.content}
    if len(contents) > 1:
        # The folders between may be named by patients.
        folders = sorted({PurePosixPath(copy.path).parts[0] for copy in group})
        raise SchemaError(
            f"{len(group)} recordings named {name} hold different signals, below {folders}. A "
            "recording of several conditions lies in several folders unchanged; others need names "
            "of their own: remove or rename one."
        )
    return contents.pop() if contents else None


def _join(record_id: str, group: list[Copy]) -> ConditionRecording:
    best = min(group, key=lambda copy: (not copy.has_files, copy.fields is None, copy.path))
    in_order = sorted(group, key=lambda copy: copy.path)
    fields = CommentFields.join(copy.fields or {} for copy in in_order)
    conditions = tuple(sorted({copy.condition for copy in group}))
    return ConditionRecording(bounded_name(record_id), best.path, conditions, len(group), fields)


_SIGNALS = (".dat", ".mat")
_PATIENT = "subject_id"


@dataclass(frozen=True)
class ConditionFolders:
    """WFDB records below `root`, each in a folder that is named by its condition.

    Folders of conditions lie right below the root, recordings below them in any sub-folders.
    A recording that lies in two of them has both conditions.
    """

    root: Path
    name: str = NAME

    def read_records(self) -> SourceTable:
        """List the recordings; patient, age and sex are what the headers' comments say.

        A recording whose header names no ``subject_id`` is a patient of its own: no split can
        keep it together with others of the same person. Such are counted. A header that cannot
        be read is counted and listed; its record stays, so that preprocessing rejects it.

        Raises
        ------
        SettingsError
            When a folder is of no known condition, or holds no header.
        SchemaError
            When two headers of one name describe different samples, or those of one recording
            name different patients.
        """
        copies = self._read_copies()
        recordings = join_copies(copies)
        _require_one_patient(recordings)
        known = parse_demographics(_field(recordings, "age"), _field(recordings, "sex"))
        record_ids = pd.Series([r.record_id for r in recordings], dtype=str)
        patients = _field(recordings, _PATIENT).map(canonical_identifier, na_action="ignore")
        records = record_table(
            self.name,
            record_ids,
            path=[recording.path for recording in recordings],
            shard=[_shard(recording.path) for recording in recordings],
            subject_id=patients.where(patients.notna(), record_ids),
            age=known.age,
            sex=known.sex,
        )
        unreadable = tuple(f"{copy.path}.hea" for copy in copies if copy.fields is None)
        return SourceTable(
            records,
            {
                "records": len(records),
                "copies_of_records": len(copies) - len(records),
                "records_of_several_conditions": _count_several(recordings),
                "records_without_patient": int(patients.isna().sum()),
                "unreadable_headers": len(unreadable),
                "signals_without_header": self._count_signals_without_header(),
                "records_with_conflicting_age_or_sex": sum(
                    r.fields.contradicts("age") or r.fields.contradicts("sex") for r in recordings
                ),
                **known.findings,
            },
            unreadable,
        )

    def read_reports(self, records: pd.DataFrame) -> SourceTable:
        """Read the conditions of these records, by the names of `CONDITIONS`."""
        recordings = join_copies(self._read_copies())
        conditions = {recording.record_id: recording.conditions for recording in recordings}
        n_several = sum(len(conditions.get(name, ())) > 1 for name in records["record_id"])
        return report_table(
            records, CONDITION_FOLDER, conditions, records_of_several_conditions=n_several
        )

    def _read_copies(self) -> list[Copy]:
        """Read all headers, sorted by path."""
        copies = []
        for folder, condition in list_condition_folders(self.root).items():
            paths = self._list_files(folder, (".hea",))
            if not paths:
                raise SettingsError(self._describe_empty(folder))
            copies += [read_copy(self.root, path, condition) for path in paths]
        return copies

    def _describe_empty(self, folder: str) -> str:
        n_signals = len(self._list_files(folder, _SIGNALS))
        found = f"{n_signals} .dat or .mat files but no .hea" if n_signals else "no .hea file"
        return (
            f"ECG_RAW_ROOT is {self.root}, whose folder {folder!r} holds {found}. Put its "
            "recordings there, each with its header beside it, or remove the folder."
        )

    def _list_files(self, folder: str, extensions: tuple[str, ...]) -> list[str]:
        """Paths below the root of files that are not hidden, without extension, sorted."""
        files = list_visible_files(self.root, folder)
        return sorted({name.rpartition(".")[0] for name in files if name.endswith(extensions)})

    def _count_signals_without_header(self) -> int:
        folders = list_condition_folders(self.root)
        stems = {path for folder in folders for path in self._list_files(folder, (".hea",))}
        signals = {path for folder in folders for path in self._list_files(folder, _SIGNALS)}
        return len(signals - stems)


def _field(recordings: list[ConditionRecording], name: str) -> pd.Series[str]:
    """Text of a comment, None where there is none or it is empty."""
    return pd.Series([r.fields.get(name) for r in recordings], dtype=object)


def _require_one_patient(recordings: list[ConditionRecording]) -> None:
    """Refuse a recording of two patients: no split could keep it with both."""
    wrong = [r.record_id for r in recordings if r.fields.contradicts(_PATIENT)]
    if wrong:
        raise SchemaError(
            f"The headers of {len(wrong)} recordings name more than one {_PATIENT}, first of "
            f"{wrong[0]}. Keep the right one in the comments of each of its headers."
        )


def _count_several(recordings: list[ConditionRecording]) -> int:
    return sum(len(recording.conditions) > 1 for recording in recordings)


def _shard(path: str) -> str:
    """Name the shard by the folder of the condition alone: those below may name patients."""
    return "_".join(path.partition("/")[0].split())


CONDITION_FOLDERS = Dataset(
    name=NAME,
    title="recordings in folders of conditions",
    open=ConditionFolders,
    coding=CONDITION_FOLDER,
    remote=Remote.HEADERS,
    is_collection=True,
)
