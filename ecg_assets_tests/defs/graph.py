"""The asset graph as plain values.

``python -m ecg_assets_tests.defs.graph`` rewrites the snapshot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._config import Shape

from ecg_assets.defs.build import build_definitions

SNAPSHOT = Path(__file__).with_name("asset_graph.json")


def describe_graph(definitions: dg.Definitions) -> dict[str, Any]:
    """Keys, dependencies, groups, partitions, run configuration, checks and automation."""
    graph = definitions.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "group": node.group_name,
            "depends_on": sorted(parent.to_user_string() for parent in node.parent_keys),
            "partitions": getattr(node.partitions_def, "name", None),
            "pools": sorted(node.pools or ()),
            # What settings add to it is the deployment's.
            "code_version": str(node.code_version).partition("+")[0],
            "run_config": sorted(run_config_of(definitions, key.to_user_string())),
            "checks": sorted(check.name for check in node.check_keys),
        }
    return {
        "assets": assets,
        "blocking_checks": sorted(
            f"{key.asset_key.to_user_string()}:{key.name}"
            for key in graph.asset_check_keys
            if graph.get(key).blocking
        ),
        "jobs": sorted(job.name for job in definitions.resolve_all_job_defs()),
        "sensors": sorted(sensor.name for sensor in definitions.sensors or ()),
        "schedules": sorted(schedule.name for schedule in definitions.schedules or ()),
    }


def run_config_of(definitions: dg.Definitions, asset: str) -> Mapping[str, Any]:
    """Fields of an asset's run configuration, as the launchpad has them."""
    node = definitions.resolve_assets_def(asset).node_def
    schema = node.config_schema.config_type if node.config_schema else None
    return schema.fields if isinstance(schema, Shape) else {}


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(describe_graph(build_definitions()), indent=1) + "\n")
