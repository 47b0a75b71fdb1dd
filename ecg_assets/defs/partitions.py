"""The partitionings: shards of recordings, checkpoints, folds, and points of a grid."""

from __future__ import annotations

import dagster as dg

from ecg_assets.defs.settings import CodeLocation
from ecg_assets.training.finetune.experiments import grid_points
from ecg_assets.training.finetune.repetition import FRACTIONS, SEEDS

SHARDS = dg.DynamicPartitionsDefinition(name="shard")
"""Runs of neighbouring folders; `record_list` registers them."""

# Another partitioning than that of what reads them: each partition reads all shards.
ALL_SHARDS = dg.AssetIn("signal_shards", partition_mapping=dg.AllPartitionMapping())
AFTER_ALL_SHARDS = dg.AssetDep("signal_shards", partition_mapping=dg.AllPartitionMapping())

CHECKPOINTS = dg.DynamicPartitionsDefinition(name="checkpoint")
"""Checkpoint folders; `finetuned_checkpoint` and the `new_checkpoints` sensor register them."""


ONE_TRAINING_A_RUN = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
"""Each training is a run of its own, seen, cancelled and resumed as such."""


_LOCATION = CodeLocation()
N_FOLDS = _LOCATION.n_folds
FOLDS = dg.StaticPartitionsDefinition([str(fold) for fold in range(1, N_FOLDS + 1)])
"""Held-out folds of a cross-validation, by ECG_FOLDS."""

GRID_POINTS = grid_points(_LOCATION.learning_rates, _LOCATION.batch_sizes)
"""Learning rate and batch size by partition key."""
GRID = dg.StaticPartitionsDefinition(list(GRID_POINTS))
"""Points of the grid search, by ECG_GRID_LEARNING_RATES and ECG_GRID_BATCH_SIZES."""

REPETITIONS = {f"{seed}|{share:g}": (share, seed) for share in FRACTIONS for seed in SEEDS}
"""Share of the training patients and seed by partition key."""
REPEATED = dg.MultiPartitionsDefinition(
    {  # which stand in a key by their names' order
        "seed": dg.StaticPartitionsDefinition([str(seed) for seed in SEEDS]),
        "train_fraction": dg.StaticPartitionsDefinition([f"{share:g}" for share in FRACTIONS]),
    }
)
"""Seeds of trainings on shares of the training patients."""


def shard_backfill_policy() -> dg.BackfillPolicy:
    """Choose how many shards one run of a backfill handles, by ECG_SHARDS_PER_RUN.

    All by default: a run costs seconds of process start, a shard does not, and Dagster's
    command line takes ranges of partitions only so. A number cuts backfills into runs of
    that many shards, which then run side by side.
    """
    if not _LOCATION.shards_per_run:
        return dg.BackfillPolicy.single_run()
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=_LOCATION.shards_per_run)


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
