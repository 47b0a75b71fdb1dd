"""What the training behind a model saw of a cell's test patients, in words."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ecg_assets.evaluation.leakage import StageOverlap, find_overlaps
from ecg_assets.evaluation.training_history import trace_training


def describe_seen(
    folder: Path | None, data_dir: Path, subject_ids: Collection[str], source: str
) -> str:
    """Say of each earlier training how many of the test patients it saw; counts, no ids.

    Parameters
    ----------
    folder
        The checkpoint that the cell starts from; None for random weights, which saw none.
    data_dir
        Folder of all results.
    subject_ids, source
        The test patients, and the dataset that they are of.

    Returns
    -------
    str
        A sentence or more for each training; empty for random weights.
    """
    if folder is None:
        return ""
    overlaps = find_overlaps(trace_training(folder, data_dir), subject_ids, source)
    n_patients = len(set(subject_ids))
    return " ".join(_describe(found, n_patients) for found in overlaps)


def _describe(found: StageOverlap, n_patients: int) -> str:
    if found.n_seen is None:
        return f"{found.stage.name}: {found.statement}"
    return f"{found.stage.name}: saw {found.n_seen} of {n_patients} test patients."
