"""Which assets are stored and current, by Dagster's own data and code versions.

The one module that uses what Dagster does not promise to keep: the status that its UI shows is
computed by a resolver that it does not export. `test_freshness.py` says what of it is relied on.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleCauseCategory,
    StaleStatus,
)
from dagster._core.loader import LoadingContextForTest

from ecg_assets.defs.settings import Settings


class Freshness:
    """Dagster's status of assets and partitions at one moment; what was asked once is kept."""

    def __init__(self, instance: dg.DagsterInstance, graph: BaseAssetGraph) -> None:  # type: ignore[type-arg]
        self._resolver = CachingStaleStatusResolver(
            instance, graph, LoadingContextForTest(instance)
        )

    def is_fresh(self, key: dg.AssetKey, partition: str | None = None) -> bool:
        """Whether it is stored, by the code, settings and inputs of now."""
        return self._resolver.get_status(key, partition) == StaleStatus.FRESH

    def is_stale(self, key: dg.AssetKey, partition: str | None = None) -> bool:
        """Whether it is stored, and by other code, settings or inputs."""
        return self._resolver.get_status(key, partition) == StaleStatus.STALE

    def has_other_inputs(self, key: dg.AssetKey) -> bool:
        """Whether what it was made from is stored with another content now."""
        causes = self._resolver.get_stale_causes(key)
        return any(cause.category == StaleCauseCategory.DATA for cause in causes)


def find_stale(definitions: dg.Definitions, instance: dg.DagsterInstance) -> list[dg.AssetKey]:
    """List the assets of which something stored is out of date, in the order of the graph."""
    graph = definitions.resolve_asset_graph()
    freshness = Freshness(instance, graph)
    found = []
    for key in graph.toposorted_asset_keys:
        stored = instance.get_materialized_partitions(key)
        partitions = sorted(stored) if graph.get(key).is_partitioned else [None]
        if any(freshness.is_stale(key, partition) for partition in partitions):
            found.append(key)
    return found


def assets_to_run(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    settings: Settings,
    keys: Sequence[dg.AssetKey],
    shards: Sequence[str] = (),
) -> list[dg.AssetKey]:
    """Those of the keys that are missing or out of date, and what follows from them.

    Current means: Dagster finds every input's data version unchanged for all shards, no setting
    that shapes it changed, and the files are still there.
    """
    graph = definitions.resolve_asset_graph()
    freshness = Freshness(instance, graph)
    due: list[dg.AssetKey] = []
    for key in [key for key in graph.toposorted_asset_keys if key in set(keys)]:
        partitions = list(shards) if graph.get(key).is_partitioned else [None]
        current = _is_on_disk(settings, key.path[-1]) and all(
            freshness.is_fresh(key, partition) for partition in partitions
        )
        if not current or graph.get(key).parent_keys & set(due):
            due.append(key)
    return due


def _is_on_disk(settings: Settings, asset: str) -> bool:
    if asset == "finetuned_checkpoint":
        return settings.store.checkpoints.is_dir()
    return any(settings.stored.root.glob(f"{asset}*"))
