"""What was put into the checkpoint folder, by training or by hand, and when it is complete.

A folder is a checkpoint as it stands; a file is imported into the folder of its name.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_assets.errors import CheckpointError, EcgAssetsError
from ecg_assets.labels import LabelVocabulary
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_folder import (
    CHECKPOINT_FILES,
    IMPORT_REPORT,
    VALIDATION_PREDICTIONS,
    checkpoint_content_sha256,
    explain_size,
    is_stored,
    read_json,
    read_validation_predictions,
)
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.preprocess import SignalSpec
from ecg_assets.preprocess.signal_spec import find_differing_fields, name_fields

FILE_SUFFIXES = (".pt", ".pth")
"""Of published files."""

OTHER_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".safetensors", ".bin", ".pkl", ".h5", ".onnx")
"""Of weights, in small or capital letters, that are refused under this name rather than ignored."""

LONGEST_NAME = 180
"""Bytes of a checkpoint's name; 255 are a file's, and results add prefixes and suffixes to it."""

HASHING_S = 20.0
"""A tick hashes no further file after so long: Dagster ends a tick after 60 s."""


@dataclass(frozen=True)
class Dropped:
    """A checkpoint folder or file, and the SHA-256 of its content once that is known."""

    path: Path
    content_sha256: str | None = None

    @property
    def checkpoint_id(self) -> str:
        """Partition that it is, or becomes."""
        return self.path.stem if self.is_file else self.path.name

    @property
    def is_file(self) -> bool:
        """Whether it has to be imported."""
        return self.path.suffix in FILE_SUFFIXES and self.path.is_file()

    @property
    def shown_name(self) -> str:
        """Name to write into logs and tables: bytes that are no UTF-8 as escapes."""
        return show_name(self.path.name)

    @property
    def is_imported(self) -> bool:
        """Whether it needs no import: a folder, or a file whose import is stored."""
        return not self.is_file or _origin(self.path.with_suffix("")) == {
            "name": self.path.name,
            "fingerprint": self.content_sha256,
        }


def show_name(name: str) -> str:
    r"""Write a file's name as text: bytes that are no UTF-8 as escapes.

    >>> show_name(os.fsdecode(bytes([109, 255])))
    'm\\xff'
    """
    return os.fsencode(name).decode(errors="backslashreplace")


def find_dropped(folder: Path) -> list[Dropped]:
    """List checkpoint folders, and files of weights, by name; hidden ones are unfinished."""
    if not folder.is_dir():
        return []
    return [
        Dropped(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
        and (
            not _can_be_read(path)
            or is_stored(folder, path.name)
            or (path.suffix.lower() in OTHER_SUFFIXES and not path.is_dir())
        )
    ]


def settle(
    found: Sequence[Dropped], cursor: str | None, *, hashing_s: float = HASHING_S
) -> tuple[list[Dropped], str]:
    """Pick those that did not change since the last tick, with their content hashes.

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
        is_open = path.is_dir() and _can_be_read(path)
        files = [p for p in sorted(path.iterdir()) if p.is_file()] if is_open else [path]
        stats = [(show_name(f.name), f.stat(follow_symlinks=f.exists())) for f in files]
    except (FileNotFoundError, NotADirectoryError):
        return None
    return fingerprint_json([[name, s.st_size, s.st_mtime_ns] for name, s in stats])[:16]


def explain_unusable(item: Dropped) -> str:
    """Say why a name cannot be a checkpoint's, or that a file is too large; empty otherwise."""
    name = item.checkpoint_id
    if len(os.fsencode(name)) > LONGEST_NAME:
        return (
            f"{item.shown_name[:40]}… has {len(os.fsencode(name))} bytes; a checkpoint's name has "
            f"at most {LONGEST_NAME}, since results are named after it. Rename it."
        )
    if not name.isprintable() or "..." in name:
        return (
            f"{item.shown_name!r} cannot be a checkpoint's name: it is UTF-8, without line breaks "
            "and without three dots in a row, which Dagster's partitions cannot have. Rename it."
        )
    is_there = item.path.exists() or item.path.is_symlink()
    if is_there and not item.path.is_file() and not item.path.is_dir():
        return (
            f"{item.shown_name} is no file but e.g. a pipe, or a link to nothing. Replace it by "
            "the checkpoint's file itself, or remove it."
        )
    if item.path.is_file() and not item.is_file:
        return (
            f"{item.shown_name} is not read under this name: files of weights are imported from "
            f"{' and '.join(FILE_SUFFIXES)}. If it is a file of torch.save, rename it to "
            f"{item.shown_name.split('.')[0]}.pt; other forms have to be converted."
        )
    return _explain_unreadable(item.path)


def _can_be_read(path: Path) -> bool:
    return os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))


def _explain_unreadable(path: Path) -> str:
    """Say that a file, or one of a folder, may not be read or is too large; empty otherwise."""
    if path.exists() and not _can_be_read(path):
        return (
            f"{show_name(path.name)} may not be read by the user of this process. Change its mode."
        )
    files = [path] if path.is_file() else [path / name for name in CHECKPOINT_FILES]
    return " ".join(reason for file in files if (reason := explain_size(file)))


SPEC, VOCABULARY = "signal_spec.json", "label_vocabulary.json"
"""What a checkpoint and manifests say of the model's input and labels, under the same names."""


def explain_misfit(folder: Path, manifests: Path) -> str:
    """Say why a usable checkpoint cannot be evaluated on manifests; empty if it can.

    Of one that is damaged nothing is said here: loading it does.

    Parameters
    ----------
    folder
        Of the checkpoint.
    manifests
        Of the current source; without any, nothing is said.
    """
    if not (manifests / SPEC).is_file():
        return ""
    try:
        own, here = (SignalSpec.from_json(read_json(one / SPEC)) for one in (folder, manifests))
        labels, labels_here = (
            LabelVocabulary.from_json(read_json(one / VOCABULARY)) for one in (folder, manifests)
        )
    except (EcgAssetsError, OSError, ValueError, TypeError, KeyError):
        return ""
    differing = find_differing_fields(own, here)
    what = [f"{name_fields([n])}: {getattr(own, n)}, not {getattr(here, n)}" for n in differing]
    if labels != labels_here:
        names, names_here = ", ".join(labels.names), ", ".join(labels_here.names)
        what.append(f"labels (ECG_LABEL_SET): {names}, not {names_here}")
    if not what:
        return ""
    return (
        f"Not for this deployment: it can be loaded, but is not of what {manifests} holds. It has "
        f"{'; '.join(what)}. Make manifests with these settings, or take it out of the folder."
    )


def fingerprint_dropped(path: Path) -> str:
    """Fingerprint of a file's bytes, or of what an evaluation reads of a folder.

    Of what is not read, a file that is too large or none, size and time count.
    """
    is_unread = not _can_be_read(path) or (path.is_file() and explain_size(path))
    if is_unread or not (path.is_file() or path.is_dir()):
        return str(state_of(path))
    return checkpoint_content_sha256(path) if path.is_dir() else fingerprint_file(path)


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
    from ecg_assets.models.checkpoint import load_trained, require_probabilities
    from ecg_assets.models.load import import_checkpoint_file

    if clash := explain_clash(checkpoints, checkpoint_id):
        raise CheckpointError(clash)
    folder, source = checkpoints / checkpoint_id, find_source(checkpoints, checkpoint_id)
    if reason := _explain_unreadable(source):
        raise CheckpointError(reason)
    if source == folder:
        require_probabilities(load_trained(folder))
        read_seen_patients(folder)
        if (folder / VALIDATION_PREDICTIONS).is_file():
            read_validation_predictions(folder)
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
    if len(os.fsencode(checkpoint_id)) > LONGEST_NAME:  # a suffix may be too much for the disk
        return []
    paths = [checkpoints / f"{checkpoint_id}{suffix}" for suffix in FILE_SUFFIXES]
    return [path for path in paths if path.is_file()]


def _origin(folder: Path) -> dict[str, Any]:
    """Name and fingerprint of the file that a folder was imported from; empty if it was not."""
    if not (folder / IMPORT_REPORT).is_file():
        return {}
    try:
        source = read_json(folder / IMPORT_REPORT).get("source", {})
    except CheckpointError:  # what it was imported from is not known
        return {}
    if not isinstance(source, dict):
        return {}
    return {name: source.get(name) for name in ("name", "fingerprint")}


def _fingerprint_at_rest(item: Dropped, state: str | None) -> str | None:
    """Fingerprint the content; None when it changed meanwhile."""
    try:
        content = fingerprint_dropped(item.path)
    except FileNotFoundError:
        return None
    return content if state_of(item.path) == state else None
