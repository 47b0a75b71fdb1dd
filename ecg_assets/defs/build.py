"""Put assets, checks, resources and automation together. Does no I/O and needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ecg_assets.defs import automation, io_managers, jobs
from ecg_assets.defs.assets import (
    apply,
    classification,
    cross_validation,
    evaluation,
    external,
    finetune,
    grid_search,
    labels,
    matrix,
    preprocess,
    pretrain,
    production,
    report,
    slices,
    sources,
    split,
)
from ecg_assets.defs.assets import build as build_assets
from ecg_assets.defs.checks import ALL_CHECKS
from ecg_assets.defs.executor import choose_executor
from ecg_assets.defs.matrix.design import design_of
from ecg_assets.defs.resources import FairseqSignalsResource, Settings, Trainer


def build_definitions(resources: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Build the code location; `resources` replace those of the same name (in tests, say)."""
    settings = (resources or {}).get("settings", Settings())
    return dg.Definitions(
        assets=[
            *dg.load_assets_from_modules(
                [
                    sources,
                    labels,
                    split,
                    preprocess,
                    build_assets,
                    pretrain,
                    finetune,
                    cross_validation,
                    grid_search,
                    evaluation,
                    slices,
                    external,
                    report,
                    classification,
                    apply,
                    production,
                ]
            ),
            *matrix.build_assets(design_of(settings)),
        ],
        asset_checks=ALL_CHECKS,
        jobs=jobs.JOBS,
        sensors=automation.SENSORS,
        schedules=[automation.weekly_reevaluation],
        resources={
            "settings": settings,
            "trainer": Trainer(),
            "fairseq_signals": FairseqSignalsResource(),
            "parquet": io_managers.ParquetIOManager(settings=settings),
            "shard": io_managers.ShardIOManager(settings=settings),
            "mat": io_managers.MatIOManager(settings=settings),
            "manifest": io_managers.ManifestIOManager(settings=settings),
            "predictions": io_managers.PredictionsIOManager(settings=settings),
            "metrics": io_managers.MetricsIOManager(settings=settings),
            **(resources or {}),
        },
        executor=choose_executor(settings),
    )
