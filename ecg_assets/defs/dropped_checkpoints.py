"""What was put into the checkpoint folder, by training or by hand, and when it is complete.

A folder is a checkpoint as it stands; a file is imported into the folder of its name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_assets.defs.checkpoint_state import fingerprint_checkpoint, is_stored
from ecg_assets.errors import CheckpointError
from ecg_assets.labels import LabelVocabulary
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_files import IMPORT_REPORT, read_json
from ecg_assets.preprocess import SignalSpec

FILE_SUFFIXES = (".pt", ".pth")
"""Of published files; what has another suffix is no checkpoint."""

HASHING_S = 20.0
"""A tick hashes no further file after so long: Dagster ends a tick after 60 s."""


@dataclass(frozen=True)
class Dropped:
    """A checkpoint folder or file, and the fingerprint of its content once that is known."""

    path: Path
    fingerprint: str | None = None

    @property
    def checkpoint_id(self) -> str:
        """Partition that it is, or becomes."""
        return self.path.stem if self.is_file else self.path.name

    @property
    def is_file(self) -> bool:
        """Whether it has to be imported."""
        return self.path.suffix in FILE_SUFFIXES and self.path.is_file()

    @property
    def is_imported(self) -> bool:
        """Whether it needs no import: a folder, or a file whose import is stored."""
        return not self.is_file or _origin(self.path.with_suffix("")) == {
            "name": self.path.name,
            "fingerprint": self.fingerprint,
        }


def find_dropped(folder: Path) -> list[Dropped]:
    """List checkpoint folders and files below a folder, by name; hidden ones are unfinished."""
    if not folder.is_dir():
        return []
    return [
        Dropped(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and (is_stored(folder, path.name) or (path.suffix in FILE_SUFFIXES and path.is_file()))
    ]


def settle(
    found: Sequence[Dropped], cursor: str | None, *, hashing_s: float = HASHING_S
) -> tuple[list[Dropped], str]:
    """Pick those that did not change since the last tick, with their fingerprints.

    Sizes and times of files are compared; content is read once, when they have come to
    rest, and again only when they change.

    Parameters
    ----------
    found
        What is there now.
    cursor
        What this function gave at the last tick.
    hashing_s
        Read no further file after so many seconds; the rest waits for the next tick.

    Returns
    -------
    tuple
        The complete ones, and the cursor for the next tick.
    """
    before: dict[str, Any] = json.loads(cursor) if cursor else {}
    started, settled, after = time.monotonic(), [], {}
    for item in found:
        state = state_of(item.path)
        known = before.get(item.path.name, {})
        is_at_rest = state is not None and known.get("state") == state
        content = known.get("content") if is_at_rest else None
        if is_at_rest and content is None and time.monotonic() - started < hashing_s:
            content = _fingerprint_at_rest(item, state)
        after[item.path.name] = {"state": state, "content": content}
        if content is not None:
            settled.append(Dropped(item.path, content))
    return settled, json.dumps(after)


def state_of(path: Path) -> str | None:
    """Sizes and modification times of a file, or of the files of a folder; None while it goes."""
    try:
        files = [path] if path.is_file() else [p for p in sorted(path.iterdir()) if p.is_file()]
        stats = [(file.name, file.stat()) for file in files]
    except FileNotFoundError:
        return None
    return fingerprint_json([[name, s.st_size, s.st_mtime_ns] for name, s in stats])[:16]


def explain_bad_name(item: Dropped) -> str:
    """Say why a name cannot be a partition; empty if it can."""
    name = item.checkpoint_id
    if name.isprintable() and "..." not in name:
        return ""
    return (
        f"{item.path.name!r} cannot be a checkpoint's name: Dagster's partitions have no three "
        "dots in a row and no line breaks. Rename it."
    )


def fingerprint_dropped(path: Path) -> str:
    """Fingerprint of a file's bytes, or of what an evaluation reads of a folder."""
    return fingerprint_file(path) if path.is_file() else fingerprint_checkpoint(path)


def prepare_checkpoint(
    checkpoints: Path,
    checkpoint_id: str,
    spec: SignalSpec | None = None,
    vocabulary: LabelVocabulary | None = None,
) -> Path:
    """Give a checkpoint's folder, verified; import it where it is a file, or a changed one.

    Parameters
    ----------
    checkpoints
        Folder of all checkpoints.
    checkpoint_id
        Name of the folder, or of the file without its suffix.
    spec, vocabulary
        See `import_checkpoint_file`.

    Raises
    ------
    UnsafeCheckpoint, CheckpointError
        When it cannot be loaded; the message says why and what to do.
    CheckpointError
        When two checkpoints have this name: nothing is overwritten.
    """
    from ecg_assets.models.checkpoint import load_trained
    from ecg_assets.models.checkpoint_file import import_checkpoint_file

    if clash := explain_clash(checkpoints, checkpoint_id):
        raise CheckpointError(clash)
    folder, source = checkpoints / checkpoint_id, find_source(checkpoints, checkpoint_id)
    if source == folder:
        load_trained(folder)
    elif not Dropped(source, fingerprint_file(source)).is_imported:
        import_checkpoint_file(source, folder, spec=spec, vocabulary=vocabulary)
    return folder


def find_source(checkpoints: Path, checkpoint_id: str) -> Path:
    """Give the file that a checkpoint is imported from, or its folder."""
    files = _files_of(checkpoints, checkpoint_id)
    return files[0] if files else checkpoints / checkpoint_id


def explain_clash(checkpoints: Path, checkpoint_id: str) -> str:
    """Name those that would be one checkpoint, and say what to do; empty for a single one."""
    folder = checkpoints / checkpoint_id
    names = [file.name for file in _files_of(checkpoints, checkpoint_id)]
    if names and folder.exists() and _origin(folder).get("name") != names[0]:
        names.append(f"the folder {checkpoint_id}")
    if len(names) < 2:
        return ""
    return (
        f"{' and '.join(names)} in {checkpoints} would both be the checkpoint "
        f"{checkpoint_id!r}. Nothing was overwritten: rename or remove one of them."
    )


def _files_of(checkpoints: Path, checkpoint_id: str) -> list[Path]:
    paths = [checkpoints / f"{checkpoint_id}{suffix}" for suffix in FILE_SUFFIXES]
    return [path for path in paths if path.is_file()]


def _origin(folder: Path) -> dict[str, Any]:
    """Name and fingerprint of the file that a folder was imported from; empty if it was not."""
    if not (folder / IMPORT_REPORT).is_file():
        return {}
    source = read_json(folder / IMPORT_REPORT).get("source", {})
    return {name: source.get(name) for name in ("name", "fingerprint")}


def _fingerprint_at_rest(item: Dropped, state: str | None) -> str | None:
    """Fingerprint the content; None when it changed meanwhile."""
    try:
        content = fingerprint_dropped(item.path)
    except FileNotFoundError:
        return None
    return content if state_of(item.path) == state else None
