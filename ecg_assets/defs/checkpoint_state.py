"""Which checkpoint folders are complete, and which still lack their evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from ecg_assets.defs.resources import Settings
from ecg_assets.lineage import fingerprint_file

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class StoredCheckpoint:
    """A complete checkpoint folder and the fingerprint of its weights."""

    checkpoint_id: str
    fingerprint: str


def complete_checkpoints(folder: Path) -> list[StoredCheckpoint]:
    """List the complete checkpoints below a folder, by name.

    A folder appears under its own name only when it is complete (it is renamed into
    place); hidden folders are work in progress.
    """
    if not folder.is_dir():
        return []
    return [
        StoredCheckpoint(path.name, fingerprint_file(path / WEIGHTS))
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and (path / WEIGHTS).is_file()
    ]


def needs_evaluation(
    instance: dg.DagsterInstance, settings: Settings, checkpoint: StoredCheckpoint
) -> bool:
    """Tell whether this source's evaluation of exactly these weights is still to be made."""
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=dg.AssetKey("eval_metrics"), asset_partitions=[checkpoint.checkpoint_id]
        ),
        limit=1,
    ).records
    event = found[0].asset_materialization if found else None
    if event is None:
        return True
    evaluated = (event.metadata.get("source"), event.metadata.get("checkpoint_fingerprint"))
    return [value.value if value else None for value in evaluated] != [
        settings.source,
        checkpoint.fingerprint,
    ]
