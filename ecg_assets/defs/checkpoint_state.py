"""Which checkpoints are stored, and which still lack their evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from ecg_assets.defs.data_versions import latest_metadata
from ecg_assets.defs.settings import Settings
from ecg_assets.models.checkpoint_folder import checkpoint_content_sha256, is_stored

CONTENT = "content_sha256"
"""Metadata of `eval_metrics`: what of the checkpoint it was made from."""


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint folder and the SHA-256 of what an evaluation reads of it."""

    checkpoint_id: str
    content_sha256: str


def complete_checkpoints(folder: Path) -> list[StoredCheckpoint]:
    """List the checkpoints below a folder, by name; hidden folders are work in progress."""
    if not folder.is_dir():
        return []
    return [
        StoredCheckpoint(path.name, checkpoint_content_sha256(path))
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and is_stored(folder, path.name)
    ]


def needs_evaluation(
    instance: dg.DagsterInstance, settings: Settings, checkpoint: StoredCheckpoint
) -> bool:
    """Tell whether this source's evaluation of exactly this content is still to be made."""
    found = latest_metadata(instance, "eval_metrics", checkpoint.checkpoint_id)
    evaluated = [found[name].value if name in found else None for name in ("source", CONTENT)]
    return evaluated != [settings.source, checkpoint.content_sha256]
