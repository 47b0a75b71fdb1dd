"""Which assets are stored and current, by Dagster's own data versions."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from ecg_assets.defs.resources import Settings


def assets_to_run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    keys: Sequence[dg.AssetKey],
    shards: Sequence[str] = (),
) -> list[dg.AssetKey]:
    """Those of the keys that are missing or out of date, and what follows from them.

    Current means: Dagster finds every input's data version unchanged for all shards, and
    the files are still there.
    """
    graph = definitions.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    due: list[dg.AssetKey] = []
    for key in [key for key in graph.toposorted_asset_keys if key in set(keys)]:
        partitions = list(shards) if graph.get(key).is_partitioned else [None]
        current = _is_on_disk(settings, key.path[-1]) and all(
            resolver.get_status(key, partition) == StaleStatus.FRESH for partition in partitions
        )
        if not current or graph.get(key).parent_keys & set(due):
            due.append(key)
    return due


def _is_on_disk(settings: Settings, asset: str) -> bool:
    if asset == "finetuned_checkpoint":
        return settings.checkpoints.is_dir()
    return any(settings.folder("").glob(f"{asset}*"))
