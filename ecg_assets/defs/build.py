"""Put assets, checks, resources and automation together. Does no I/O and needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg

from ecg_assets.defs import assets as stages
from ecg_assets.defs import automation, jobs
from ecg_assets.defs.alerts import choose_alert
from ecg_assets.defs.assets import matrix, protocol
from ecg_assets.defs.checks import ALL_CHECKS
from ecg_assets.defs.checks.protocol import build_checks
from ecg_assets.defs.failures import fail_in_words
from ecg_assets.defs.gpu import require_computable
from ecg_assets.defs.io_managers import io_managers
from ecg_assets.defs.jobs import choose_executor
from ecg_assets.defs.matrix_partitions import design_of
from ecg_assets.defs.protocol import protocol_of
from ecg_assets.defs.resources import FairseqSignalsResource, Trainer, fixed
from ecg_assets.defs.run_processes import ends_dead_runs
from ecg_assets.defs.settings import CodeLocation, Settings, require_known_variables
from ecg_assets.defs.shaping import with_shaping_settings
from ecg_assets.defs.upkeep import with_upkeep

ON_OTHER_MACHINES = ("ray", "k8s")
"""Executors whose steps see other devices than the process that loads the definitions."""

GPU_POOL = "gpu"
"""The pool of the steps that run a model."""


def build_definitions(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Build the code location; `resources` replace those of the same name (in tests, say).

    Raises
    ------
    SettingsError
        When a variable that is set cannot be used, or is a setting no longer.
    """
    require_known_variables(os.environ)
    choose_alert()
    settings = (resources or {}).get("settings", Settings())
    location = CodeLocation()
    if location.executor not in ON_OTHER_MACHINES and not location.launch:
        require_computable(settings.device, settings.precision)
    assets = fail_in_words(
        with_shaping_settings(
            with_upkeep(
                [
                    *dg.load_assets_from_package_module(stages),
                    *matrix.build_assets(design_of(settings)),
                    *protocol.build_assets(protocol_of(settings)),
                ],
                dict.fromkeys(jobs.RE_EVALUATED_ASSETS, automation.RE_EVALUATED_EACH_WEEK),
            ),
            settings,
        )
    )
    checks = fail_in_words([*ALL_CHECKS, *build_checks(settings)])
    computing = [one.op.name for one in (*assets, *checks) if one.op.pool == GPU_POOL]
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=jobs.define_jobs(settings),
        sensors=automation.SENSORS,
        schedules=[automation.weekly_reevaluation],
        resources={
            name: fixed(resource, *([location] if name == "settings" else []))
            for name, resource in {
                "settings": settings,
                "trainer": Trainer(),
                "fairseq_signals": FairseqSignalsResource(),
                **io_managers(settings),
                **(resources or {}),
            }.items()
        },
        executor=ends_dead_runs(choose_executor(settings, computing)),
    )
