"""Which checkpoints are stored, and which still lack their evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from ecg_assets.defs.data_versions import latest_metadata
from ecg_assets.defs.resources import Settings
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint_files import (
    MODEL_FILES,
    RUN,
    VALIDATION_PREDICTIONS,
    WEIGHTS,
)

CONTENT = "checkpoint_content"
"""Metadata of `eval_metrics`: what of the checkpoint it was made from."""

_EVALUATED_FILES = (*MODEL_FILES, RUN, VALIDATION_PREDICTIONS)


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint folder and the fingerprint of what an evaluation reads of it."""

    checkpoint_id: str
    fingerprint: str


def is_stored(checkpoints: Path, checkpoint_id: str) -> bool:
    """Tell whether a checkpoint's folder is still there."""
    return (checkpoints / checkpoint_id / WEIGHTS).is_file()


def fingerprint_checkpoint(folder: Path) -> str:
    """Fingerprint of a folder's weights, labels, signals, run and validation scores.

    Its pictures and its card do not count.
    """
    paths = [folder / name for name in _EVALUATED_FILES]
    return fingerprint_json({path.name: fingerprint_file(path) for path in paths if path.is_file()})


def complete_checkpoints(folder: Path) -> list[StoredCheckpoint]:
    """List the checkpoints below a folder, by name; hidden folders are work in progress."""
    if not folder.is_dir():
        return []
    return [
        StoredCheckpoint(path.name, fingerprint_checkpoint(path))
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and is_stored(folder, path.name)
    ]


def needs_evaluation(
    instance: dg.DagsterInstance, settings: Settings, checkpoint: StoredCheckpoint
) -> bool:
    """Tell whether this source's evaluation of exactly this content is still to be made."""
    found = latest_metadata(instance, "eval_metrics", checkpoint.checkpoint_id)
    evaluated = [found[name].value if name in found else None for name in ("source", CONTENT)]
    return evaluated != [settings.source, checkpoint.fingerprint]
