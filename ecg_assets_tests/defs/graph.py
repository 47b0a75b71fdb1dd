"""All that is defined, as plain values, for a reviewer to see what changes.

``python -m ecg_assets_tests.defs.graph`` rewrites the snapshot. What settings decide (owners, what
they add to code versions) is as with none set.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._config import Shape

from ecg_assets.defs.build import build_definitions

SNAPSHOT = Path(__file__).with_name("asset_graph.json")


def describe_graph(definitions: dg.Definitions) -> dict[str, Any]:
    """Assets, checks, jobs, sensors, schedules and resources, each with what a reviewer asks."""
    graph = definitions.resolve_asset_graph()
    keys = sorted(graph.get_all_asset_keys())
    return {
        "assets": {key.to_user_string(): _describe_asset(definitions, key) for key in keys},
        "blocking_checks": sorted(
            f"{key.asset_key.to_user_string()}:{key.name}"
            for key in graph.asset_check_keys
            if graph.get(key).blocking
        ),
        "jobs": {
            job.name: _describe_job(job)
            for job in definitions.resolve_all_job_defs()
            if not job.name.startswith("__")  # Dagster's own, of all assets
        },
        "sensors": {one.name: _describe_sensor(one) for one in definitions.sensors or ()},
        "schedules": {one.name: _describe_schedule(one) for one in definitions.schedules or ()},
        "resources": sorted(definitions.resources or ()),
    }


def _describe_asset(definitions: dg.Definitions, key: dg.AssetKey) -> dict[str, Any]:
    node = definitions.resolve_asset_graph().get(key)
    condition, backfill = node.automation_condition, node.backfill_policy
    return {
        "group": node.group_name,
        "depends_on": _names(node.parent_keys),
        "partitions": getattr(node.partitions_def, "name", None),
        "pools": sorted(node.pools or ()),
        # What settings add to it is the deployment's.
        "code_version": str(node.code_version).partition("+")[0],
        "run_config": sorted(run_config_of(definitions, key.to_user_string())),
        "checks": sorted(check.name for check in node.check_keys),
        "kinds": sorted(node.kinds),
        "owners": list(node.owners),
        "made_alone": len(node.execution_set_entity_keys) - len(node.check_keys) <= 1,
        "partitions_in_a_run": backfill and (backfill.max_partitions_per_run or "all"),
        "automation": condition and condition.get_label(),
        "freshness": node.freshness_policy and _describe_deadline(node.freshness_policy),
    }


def _describe_deadline(policy: Any) -> str:
    return f"by {policy.deadline_cron} {policy.timezone}, since {policy.lower_bound_delta} before"


def _describe_job(job: dg.JobDefinition) -> dict[str, Any]:
    return {
        "assets": _names(job.asset_layer.selected_asset_keys),
        "partitions": getattr(job.partitions_def, "name", None),
        "owners": list(job.owners or ()),
    }


def _describe_sensor(sensor: dg.SensorDefinition) -> dict[str, Any]:
    return {
        "type": sensor.sensor_type.value,
        "jobs": sorted(target.job_name for target in sensor.targets if target.has_job_def),
        "seconds": sensor.minimum_interval_seconds,
        "status": sensor.default_status.value,
        "owners": list(sensor.owners or ()),
    }


def _describe_schedule(schedule: Any) -> dict[str, Any]:
    return {
        "cron": schedule.cron_schedule,
        "timezone": schedule.execution_timezone,
        "job": schedule.job_name,
        "status": schedule.default_status.value,
        "owners": list(schedule.owners or ()),
    }


def _names(keys: Iterable[dg.AssetKey]) -> list[str]:
    return sorted(key.to_user_string() for key in keys)


def run_config_of(definitions: dg.Definitions, asset: str) -> Mapping[str, Any]:
    """Fields of an asset's run configuration, as the launchpad has them."""
    node = definitions.resolve_assets_def(asset).node_def
    schema = node.config_schema.config_type if node.config_schema else None
    return schema.fields if isinstance(schema, Shape) else {}


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(describe_graph(build_definitions()), indent=1) + "\n")
