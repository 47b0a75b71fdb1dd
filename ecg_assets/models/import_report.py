"""What every import writes of the file it read, and where it may write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecg_assets.errors import CheckpointError
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint_files import IMPORT_REPORT

IMPORT_VERSION = 1
"""Counts up when the same file would be imported as another folder."""


def require_replaceable(folder: Path) -> None:
    """Raise `CheckpointError` unless the folder is new, empty, or an earlier import."""
    is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    if not is_free and not (folder / IMPORT_REPORT).is_file():
        raise CheckpointError(
            f"{folder} exists and is no earlier import (it has no {IMPORT_REPORT}), so it is not "
            "replaced. Give a new folder."
        )


def describe_source(path: Path) -> dict[str, Any]:
    """Name a file, with its SHA-256 and size."""
    return {
        "name": path.name,
        "fingerprint": fingerprint_file(path),
        "n_bytes": path.stat().st_size,
    }


def name_origin(value: object, *, was_given: bool, family: str) -> str:
    """Say where the meaning of input or outputs comes from; a file never tells."""
    if value is None:
        return "unknown"
    return "given" if was_given else f"assumed to be {family}'s"
