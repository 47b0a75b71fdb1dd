"""The two partitionings: shards of recordings, and checkpoints."""

from __future__ import annotations

import os

import dagster as dg

SHARDS = dg.DynamicPartitionsDefinition(name="shard")
"""Runs of neighbouring folders; `record_list` registers them."""

CHECKPOINTS = dg.DynamicPartitionsDefinition(name="checkpoint")
"""Checkpoint folders; `finetuned_checkpoint` and the `new_checkpoints` sensor register them."""


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
