"""Content fingerprints as Dagster data versions, and reading them back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
from dagster import AssetExecutionContext

from ecg_assets.defs.partitions import SHARDS

DATA_VERSION_TAG = "dagster/data_version"
INPUT_VERSION_TAG = "dagster/input_data_version"


def give_partitions_their_versions(
    context: AssetExecutionContext, versions: Mapping[str, str]
) -> None:
    """Log each partition of a multi-partition run again with its own data version.

    Dagster logs one data version for all partitions that a step wrote, so a shard's
    version would depend on the shards that happened to share its run. Call this after
    the output was yielded; the repeated event keeps metadata and provenance.
    """
    if len(versions) < 2:
        return
    for partition, version in versions.items():
        event = _latest_materialization(context.instance, context.asset_key, partition)
        if event is not None:
            context.log_event(
                dg.AssetMaterialization(
                    asset_key=context.asset_key,
                    partition=partition,
                    metadata=event.metadata,
                    tags={**(event.tags or {}), DATA_VERSION_TAG: version},
                )
            )


def stored_versions(
    instance: dg.DagsterInstance, assets: Iterable[str], *, partitioned: Iterable[str] = ()
) -> dict[str, str]:
    """Collect data versions of the latest materializations, by asset name or ``asset[shard]``.

    Assets that were never materialized are absent.
    """
    versions = {asset: version_of(instance, asset) for asset in assets}
    for asset in partitioned:
        for shard in instance.get_dynamic_partitions(str(SHARDS.name)):
            versions[f"{asset}[{shard}]"] = version_of(instance, asset, shard)
    return {name: version for name, version in versions.items() if version is not None}


def version_of(
    instance: dg.DagsterInstance, asset: str, partition: str | None = None
) -> str | None:
    """Find the data version of an asset's latest materialization, or None."""
    event = _latest_materialization(instance, dg.AssetKey(asset), partition)
    tags: Mapping[str, Any] = (event.tags or {}) if event else {}
    return tags.get(DATA_VERSION_TAG)


def input_version_of(
    instance: dg.DagsterInstance, asset: str, upstream: str, partition: str | None = None
) -> str | None:
    """Find the data version of `upstream` that an asset's latest materialization was made from."""
    event = _latest_materialization(instance, dg.AssetKey(asset), partition)
    tags: Mapping[str, Any] = (event.tags or {}) if event else {}
    return tags.get(f"{INPUT_VERSION_TAG}/{upstream}")


def input_versions_of(instance: dg.DagsterInstance, asset: str) -> dict[str, str]:
    """Collect the data versions that an asset's latest materialization was made from, by tag."""
    event = _latest_materialization(instance, dg.AssetKey(asset), None)
    tags: Mapping[str, str] = (event.tags or {}) if event else {}
    return {name: value for name, value in tags.items() if name.startswith(INPUT_VERSION_TAG)}


def latest_metadata(
    instance: dg.DagsterInstance, asset: str, partition: str | None = None
) -> Mapping[str, dg.MetadataValue[Any]]:
    """Metadata of an asset's latest materialization; empty if there is none."""
    event = _latest_materialization(instance, dg.AssetKey(asset), partition)
    return event.metadata if event else {}


def manifest_inputs(instance: dg.DagsterInstance) -> dict[str, str]:
    """Fingerprints of the manifests and of everything behind them, as stored now."""
    return stored_versions(
        instance,
        ["record_list", "machine_reports", "labels", "split", "manifests"],
        partitioned=["signal_shards"],
    )


def current_inputs(instance: dg.DagsterInstance, checkpoint: str) -> dict[str, str]:
    """Fingerprints of everything behind a checkpoint's metrics, as stored now."""
    found = {
        "checkpoint": version_of(instance, "checkpoint", checkpoint),
        "predictions": version_of(instance, "predictions", checkpoint),
    }
    return manifest_inputs(instance) | {k: v for k, v in found.items() if v is not None}


def _latest_materialization(
    instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None
) -> dg.AssetMaterialization | None:
    found = instance.fetch_materializations(
        dg.AssetRecordsFilter(
            asset_key=key, asset_partitions=None if partition is None else [partition]
        ),
        limit=1,
    ).records
    return found[0].asset_materialization if found else None
