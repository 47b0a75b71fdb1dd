"""The partitionings: shards of recordings, checkpoints, folds, and points of a grid."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import dagster as dg

from ecg_assets.errors import SettingsError
from ecg_assets.finetune.grid_search import grid_points

_Number = TypeVar("_Number", int, float)

SHARDS = dg.DynamicPartitionsDefinition(name="shard")
"""Runs of neighbouring folders; `record_list` registers them."""

CHECKPOINTS = dg.DynamicPartitionsDefinition(name="checkpoint")
"""Checkpoint folders; `finetuned_checkpoint` and the `new_checkpoints` sensor register them."""


ONE_TRAINING_A_RUN = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
"""Each training is a run of its own, seen, cancelled and resumed as such."""


def _numbers(kind: Callable[[str], _Number], variable: str, default: str) -> list[_Number]:
    """Read numbers above 0, by comma, from the environment."""
    text = os.environ.get(variable, default)
    try:
        numbers = [kind(word) for word in text.split(",") if word.strip()]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) <= 0:
        raise SettingsError(
            f"{variable} is {text!r}; expected numbers above 0, by comma, e.g. {default}."
        )
    return numbers


def _count_folds() -> int:
    (n_folds, *others) = _numbers(int, "ECG_FOLDS", "5")
    if n_folds < 2 or others:
        raise SettingsError(
            f"ECG_FOLDS is {os.environ['ECG_FOLDS']!r}; expected one number from 2 on."
        )
    return n_folds


N_FOLDS = _count_folds()
FOLDS = dg.StaticPartitionsDefinition([str(fold) for fold in range(1, N_FOLDS + 1)])
"""Held-out folds of a cross-validation, by ECG_FOLDS."""

GRID_POINTS = grid_points(
    _numbers(float, "ECG_GRID_LEARNING_RATES", "0.001,0.004"),
    _numbers(int, "ECG_GRID_BATCH_SIZES", "16,32"),
)
"""Learning rate and batch size by partition key."""
GRID = dg.StaticPartitionsDefinition(list(GRID_POINTS))
"""Points of the grid search, by ECG_GRID_LEARNING_RATES and ECG_GRID_BATCH_SIZES."""


def shard_backfill_policy() -> dg.BackfillPolicy:
    """Choose how many shards one run of a backfill handles, by ECG_SHARDS_PER_RUN.

    All by default: a run costs seconds of process start, a shard does not, and Dagster's
    command line takes ranges of partitions only so. A number cuts backfills into runs of
    that many shards, which then run side by side.
    """
    per_run = int(os.environ.get("ECG_SHARDS_PER_RUN", "0"))
    if per_run <= 0:
        return dg.BackfillPolicy.single_run()
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=per_run)


def register_exactly(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: list[str]
) -> tuple[int, int]:
    """Make the registered keys equal to `keys`; return how many were added and removed.

    Removing a key deletes no file and no event: materialize `record_list` with the
    former source and its keys are back.
    """
    name = str(partitions.name)
    present = set(instance.get_dynamic_partitions(name))
    added = [key for key in keys if key not in present]
    removed = sorted(present - set(keys))
    if added:
        instance.add_dynamic_partitions(name, added)
    for key in removed:
        instance.delete_dynamic_partition(name, key)
    return len(added), len(removed)
