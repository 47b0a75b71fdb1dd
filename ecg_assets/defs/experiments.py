"""Which trainings of the newest experiment are there, and which are missing, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint_files import RUN, read_json

EXPERIMENT, FOLDER = "experiment", "folder"
"""Metadata of a materialization by which it is found again."""


@dataclass(frozen=True)
class Experiment:
    """Trainings that differ in nothing but their partition.

    Attributes
    ----------
    name
        Of its folder.
    folders
        Finished checkpoint of each partition.
    missing
        Why another partition has none.
    """

    name: str
    folders: dict[str, Path]
    missing: dict[str, str]

    def runs(self) -> dict[str, dict[str, Any]]:
        """Content of run.json of each finished partition."""
        return {partition: read_json(folder / RUN) for partition, folder in self.folders.items()}


def newest_experiment(
    instance: dg.DagsterInstance, asset: str, partitions: Iterable[str], root: Path
) -> Experiment:
    """Find the experiment that an asset's newest partition belongs to.

    Parameters
    ----------
    asset
        Its materializations say `EXPERIMENT` and `FOLDER`.
    partitions
        All that the experiment should have.
    root
        Only checkpoints below it count: those of the current source.

    Raises
    ------
    SettingsError
        When no partition was materialized yet, or its files are gone.
    """
    found = {key: _newest(instance, asset, key) for key in partitions}
    stored = {
        key: (time, name, folder)
        for key, (time, name, folder) in found.items()
        if folder.is_relative_to(root) and folder.is_dir()
    }
    if not stored:
        raise SettingsError(
            f"{asset} has no finished partition below {root}. Materialize {asset} first, all "
            "partitions as one backfill."
        )
    _, newest, _ = max(stored.values())
    folders = {key: folder for key, (_, name, folder) in stored.items() if name == newest}
    missing = {
        key: _explain(key in stored, name) for key, (_, name, _) in found.items()
        if key not in folders
    }  # fmt: skip
    return Experiment(newest, folders, missing)


def _newest(instance: dg.DagsterInstance, asset: str, partition: str) -> tuple[float, str, Path]:
    """Time, experiment and folder of a partition's newest materialization; empty without one."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
    ).records
    event = records[0].asset_materialization if records else None
    if event is None:
        return 0.0, "", Path()
    name, folder = (str(event.metadata[key].value) for key in (EXPERIMENT, FOLDER))
    return records[0].timestamp, name, Path(folder)


def _explain(is_stored: bool, name: str) -> str:
    if is_stored:
        return f"not trained: what is there belongs to experiment {name}"
    return "not trained: its folder is gone" if name else "not trained yet"
