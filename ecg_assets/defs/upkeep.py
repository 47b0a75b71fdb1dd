"""Who looks after what is defined here, where its code stands, and by when it is made again.

Belongs here: what the UI shows of a definition beside what it is. None of it changes a run.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping

import dagster as dg
from dagster._utils.warnings import BetaWarning, disable_dagster_warnings

from ecg_assets.defs.settings import CodeLocation

OWNERS: list[str] | None = CodeLocation().owners or None
"""Of every asset and job, the schedule and the sensors that can have some; by ECG_OWNERS."""

# In beta for jobs, schedules and sensors; the pin below 1.14 is the answer to that.
warnings.filterwarnings("ignore", message="Parameter `owners`", category=BetaWarning)


def with_upkeep(
    assets: Iterable[object], deadlines: Mapping[str, dg.FreshnessPolicy]
) -> list[dg.AssetsDefinition]:
    """Add to each asset its owners, the file and line of its function, and its deadline, if any.

    Parameters
    ----------
    assets
        As their functions were decorated; what is no asset is left out.
    deadlines
        By when an asset is made again, by its name.
    """

    def add(spec: dg.AssetSpec) -> dg.AssetSpec:
        deadline = deadlines.get(spec.key.to_user_string())
        owned = spec.replace_attributes(owners=OWNERS or [])
        return owned.replace_attributes(freshness_policy=deadline) if deadline else owned

    found = [one for one in assets if isinstance(one, dg.AssetsDefinition)]
    with disable_dagster_warnings():  # references to code are in beta, too
        referenced = dg.with_source_code_references([*dg.map_asset_specs(add, found)])
    return [one for one in referenced if isinstance(one, dg.AssetsDefinition)]
