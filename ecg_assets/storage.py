"""Atomic writes: a reader sees the old file or the new one, never half of one."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` when the block succeeds.

    On an exception the temporary file is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Give a temporary empty folder beside `path`; put it in the place of `path` on success.

    An existing folder is moved aside first and deleted last, so that a kill at any
    moment leaves at least one whole version on disk.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex
    temporary = path.with_name(f".{path.name}.{token}.tmp")
    aside = path.with_name(f".{path.name}.{token}.old")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rename(aside)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path) -> int:
    """Delete what killed writers left in a folder (`.…tmp`); return how many there were.

    A folder's `.old` is put back when its new version never arrived.
    """
    count = 0
    for entry in folder.glob(".*.tmp"):
        count += 1
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    for entry in folder.glob(".*.old"):
        count += 1
        original = folder / entry.name[1:].rsplit(".", 2)[0]
        if original.exists():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.rename(original)
    return count
