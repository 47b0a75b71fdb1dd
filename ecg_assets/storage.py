"""Atomic writes: a reader sees the old file or the new one, never half of one.

A writer works under a hidden temporary name in the same folder, then renames. What a
killed writer left behind is removed by the next one that writes the same target.
"""

from __future__ import annotations

import os
import shutil
import socket
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
    _remove_leftovers(path)
    temporary = path.with_name(_temporary_name(path) + ".tmp")
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
    _remove_leftovers(path)
    name = _temporary_name(path)
    temporary, aside = path.with_name(f"{name}.tmp"), path.with_name(f"{name}.old")
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rename(aside)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _temporary_name(path: Path) -> str:
    """Name the target, the machine and the process: a later writer can tell who is gone."""
    host = socket.gethostname().replace("~", "-")
    return f".{path.name}~{host}~{os.getpid()}~{uuid.uuid4().hex[:8]}"


def _remove_leftovers(path: Path) -> None:
    """Remove what killed writers of this machine left of a target; bring back a lone old one."""
    for entry in path.parent.glob(f".{path.name}~*"):
        _, host, process, _ = entry.name.rsplit("~", 3)
        if host != socket.gethostname().replace("~", "-") or _is_running(int(process)):
            continue
        if entry.suffix == ".old" and not path.exists():
            entry.rename(path)
        elif entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
