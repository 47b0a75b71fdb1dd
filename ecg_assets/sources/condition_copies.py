"""Recordings in folders of conditions: the copies of one are one, with all its conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ecg_assets.errors import BadRecord, SchemaError
from ecg_assets.sources.inside_root import require_inside_root, require_plain_name
from ecg_assets.sources.signal_identity import identify_signal
from ecg_assets.sources.wfdb_header import read_header


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
        The header's comments by name; None where the header cannot be read.
    """

    path: str
    condition: str
    content: str | None = None
    has_files: bool = False
    fields: Mapping[str, str] | None = field(default=None, hash=False)

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
        Comments of its headers by name.
    """

    record_id: str
    path: str
    conditions: tuple[str, ...]
    n_copies: int
    fields: Mapping[str, str] = field(hash=False)


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
        header.comment_fields(),
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
    fields: dict[str, str] = {}
    for copy in sorted(group, key=lambda copy: copy.path):
        for name, value in (copy.fields or {}).items():
            fields.setdefault(name, value)
    conditions = tuple(sorted({copy.condition for copy in group}))
    return ConditionRecording(record_id, best.path, conditions, len(group), fields)
