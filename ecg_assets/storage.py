"""Atomic writes: a reader sees the old file or the new one, never half of one.

A writer works under a hidden temporary name in the same folder, then renames. What a
killed writer left behind is removed by the next one that writes the same target.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from ecg_assets.errors import DiskFull, EcgAssetsError

_TAKEN = {errno.ENOTEMPTY, errno.EEXIST}
"""What a system answers to a folder's move to where another stands."""


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it to `path` when the block succeeds.

    On an exception the temporary file is removed and `path` stays as it was.
    """
    _prepare(path)
    temporary = path.with_name(_temporary_name(path) + ".tmp")
    try:
        with explain_full_disk(path.parent, _keeps(path)):
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
    _prepare(path)
    name = _temporary_name(path)
    temporary, aside = path.with_name(f"{name}.tmp"), path.with_name(f"{name}.old")
    try:
        with explain_full_disk(path.parent, _keeps(path)):
            temporary.mkdir()
            yield temporary
            _give_usual_mode(temporary)
            while not _took_its_place(temporary, path, aside):
                # Another writer was first: its version is replaced.
                shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        _put_back(aside, path)
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def _put_back(aside: Path, path: Path) -> None:
    """Give a folder that was moved aside its place again, unless another writer took it."""
    try:
        aside.rename(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _took_its_place(temporary: Path, path: Path, aside: Path) -> bool:
    with suppress(FileNotFoundError):
        path.rename(aside)
    try:
        temporary.rename(path)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def to_json_value(value: Any) -> Any:
    """Make numbers of NumPy plain, and those that are not finite null, at any depth.

    >>> to_json_value({"a": [1.5, float("nan")], "b": ("x", None)})
    {'a': [1.5, None], 'b': ['x', None]}
    """
    if isinstance(value, Mapping):
        return {key: to_json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_json_value(one) for one in value]
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


def write_json(path: Path, value: Any, *, indent: int = 1) -> None:
    """Write a value as `to_json_value` gives it."""
    text = json.dumps(to_json_value(value), indent=indent, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _give_usual_mode(folder: Path) -> None:
    """Let those read its files who may read the folder: safetensors writes for its user alone."""
    usual = folder.stat().st_mode & 0o666
    for file in folder.iterdir():
        if file.is_file() and file.stat().st_mode & 0o777 == 0o600:
            file.chmod(usual)


def _prepare(path: Path) -> None:
    """Make a target's folder, and remove what killed writers left there."""
    with explain_full_disk(path.parent, _keeps(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)


def _temporary_name(path: Path) -> str:
    """Name the target, the machine and the process: a later writer can tell who is gone."""
    host = socket.gethostname().replace("~", "-")
    return f".{path.name}~{host}~{os.getpid()}~{uuid.uuid4().hex[:8]}"


def _remove_leftovers(path: Path) -> None:
    """Remove what killed writers of this machine left of a target; bring back a lone old one."""
    for entry in path.parent.glob(f".{path.name}~*"):
        _, host, process, _ = entry.name.rsplit("~", 3)
        if host != socket.gethostname().replace("~", "-") or psutil.pid_exists(int(process)):
            continue
        if entry.suffix == ".old" and not path.exists():
            _put_back(entry, path)
        elif entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)


# A disk that is full.


_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_ALMOST_NOTHING = 1 << 20
"""Bytes. Below it an error while writing is taken for that of a full disk: torch and NumPy give
no number for it."""


@contextmanager
def explain_full_disk(folder: Path, kept: str) -> Iterator[None]:
    """Say in a sentence that a disk is full, which each library says in words of its own.

    Parameters
    ----------
    folder
        What the block writes to; it need not exist.
    kept
        A sentence: what is not lost.

    Raises
    ------
    DiskFull
        For an error of the block that a full disk explains; every other one is left as it is.
    """
    try:
        yield
    except EcgAssetsError:
        raise
    except Exception as error:
        free = shutil.disk_usage(next(p for p in (folder, *folder.parents) if p.exists())).free
        if not _is_of_full_disk(error, free):
            raise
        raise DiskFull(
            f"The disk of {folder} is full: {free / 2**20:.1f} MiB are free there. {kept} Make "
            "room there, or set ECG_DATA_DIR to a folder on a larger disk, and run it again."
        ) from error


def allocate(path: Path) -> None:
    """Take a file's whole size from the disk, before it is written through a memory map.

    A map of a file with holes ends the process where the disk is full.

    Raises
    ------
    OSError
        When the disk has not so much.
    """
    n_bytes = path.stat().st_size
    if shutil.disk_usage(path.parent).free < n_bytes - path.stat().st_blocks * 512:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if hasattr(os, "posix_fallocate") and n_bytes:  # macOS has no such call
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)


def _keeps(path: Path) -> str:
    return f"What {path.name} was before is untouched, and nothing half-written stays."


def _is_of_full_disk(error: Exception, free: int) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _NO_SPACE
    # safetensors and pyarrow pass the system's words on, torch and NumPy their own.
    return "No space left on device" in str(error) or free < _ALMOST_NOTHING
