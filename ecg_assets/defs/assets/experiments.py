"""Stage finetune: k-fold cross-validation, one fold a partition."""

from typing import Literal

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.defs.input_facts import require_manifest
from ecg_assets.defs.partitions import (
    AFTER_ALL_SHARDS,
    FOLDS,
    GRID,
    GRID_POINTS,
    N_FOLDS,
    ONE_TRAINING_A_RUN,
)
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata, trained_result
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.defs.training_requests import (
    EXPERIMENT,
    FinetuneConfig,
    native_request,
    newest_experiment,
    require_native,
    run_training,
)
from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint_folder import read_validation_predictions
from ecg_assets.training.finetune.cross_validation import combine_folds, draw_folds, summarize
from ecg_assets.training.finetune.experiments import (
    draw_grid,
    fold_request,
    grid_request,
    rank_grid,
)


class FoldConfig(FinetuneConfig):
    """What one fold's run may change; equal in all folds of a cross-validation."""

    rare_labels: Literal["refuse", "keep"] = Field(
        default="refuse",
        description="Labels with fewer positive patients than folds: refuse, or keep, with empty "
        "metrics where a fold has none.",
    )


@dg.asset(
    group_name="finetune",
    partitions_def=FOLDS,
    backfill_policy=ONE_TRAINING_A_RUN,
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "huggingface"},
    deps=[AFTER_ALL_SHARDS],
)
def fold_checkpoint(
    context: AssetExecutionContext,
    config: FoldConfig,
    settings: Settings,
    trainer: Trainer,
    manifests: Manifest,
) -> dg.MaterializeResult[None]:
    """A model trained on all train and valid patients but one fold's, which validate it.

    The test split is not read. Folds are kept apart from the ordinary checkpoints; a finished
    one is reused, an interrupted one resumes, as those are.
    """
    require_native(config.trainer)
    require_manifest(settings, manifests)
    request = fold_request(
        native_request(context.instance, settings, config),
        manifests,
        int(context.partition_key),
        n_folds=N_FOLDS,
        root=settings.stored.folder("cross_validation"),
        rare_labels=config.rare_labels,
    )
    folder = run_training(context, settings, trainer, request)
    return trained_result(folder, {EXPERIMENT: request.output_folder.parent.name})


@dg.asset(
    group_name="finetune",
    io_manager_key="parquet",
    code_version="1",
    kinds={"parquet"},
    deps=["fold_checkpoint"],
)
def cross_validation(
    context: AssetExecutionContext, settings: Settings
) -> dg.MaterializeResult[pd.DataFrame]:
    """Metrics of each held-out fold, their mean and standard deviation over the folds.

    Of the experiment that was trained last; a fold that it lacks is named with the reason.
    """
    root = settings.stored.folder("cross_validation")
    found = newest_experiment(context.instance, "fold_checkpoint", FOLDS.get_partition_keys(), root)
    recipes = [run["request"]["recipe"] for run in found.runs().values()]
    table = combine_folds(
        {fold: read_validation_predictions(path) for fold, path in found.folders.items()},
        found.missing,
        exclusive=recipes[0]["objective"] == "exclusive",
    )
    if found.missing:
        context.log.warning(f"Folds that are missing: {found.missing}")
    shown = {
        EXPERIMENT: found.name,
        "folds": len(found.folders),
        "missing_folds": found.missing,
        "summary": table_metadata(summarize(table)),
        "auroc_by_fold": png_metadata(draw_folds(table), "AUROC of each fold"),
    }
    return table_result("cross_validation", table, shown)


# Stage finetune: a grid over learning rate and batch size, one point a partition.


@dg.asset(
    group_name="finetune",
    partitions_def=GRID,
    backfill_policy=ONE_TRAINING_A_RUN,
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "huggingface"},
    deps=[AFTER_ALL_SHARDS],
)
def grid_checkpoint(
    context: AssetExecutionContext,
    config: FinetuneConfig,
    settings: Settings,
    trainer: Trainer,
    manifests: Manifest,
) -> dg.MaterializeResult[None]:
    """A model trained with the partition's learning rate and batch size.

    The test split is not read. Points are kept apart from the ordinary checkpoints; a finished
    one is reused, an interrupted one resumes, as those are.
    """
    require_native(config.trainer)
    require_manifest(settings, manifests)
    if {"learning_rate", "batch_size"} & config.changes().keys():
        raise SettingsError(
            "learning_rate and batch_size are the partition's in a grid; leave them out of the "
            "configuration, and set ECG_GRID_LEARNING_RATES and ECG_GRID_BATCH_SIZES."
        )
    plain = native_request(context.instance, settings, config)
    rate, size = GRID_POINTS[context.partition_key]
    root = settings.stored.folder("grid_search")
    request = grid_request(plain, learning_rate=rate, batch_size=size, root=root)
    folder = run_training(context, settings, trainer, request)
    return trained_result(folder, {EXPERIMENT: request.output_folder.name})


@dg.asset(
    group_name="finetune",
    io_manager_key="parquet",
    code_version="1",
    kinds={"parquet"},
    deps=["grid_checkpoint"],
)
def grid_search(
    context: AssetExecutionContext, settings: Settings
) -> dg.MaterializeResult[pd.DataFrame]:
    """Validation loss and macro AUROC of each point of the grid; the best has the lowest loss.

    Of the experiment that was trained last; a point that it lacks is named with the reason.
    """
    root = settings.stored.folder("grid_search")
    found = newest_experiment(context.instance, "grid_checkpoint", GRID_POINTS, root)
    table = rank_grid(
        {GRID_POINTS[key]: run for key, run in found.runs().items()},
        {GRID_POINTS[key]: reason for key, reason in found.missing.items()},
    )
    if found.missing:
        context.log.warning(f"Points of the grid that are missing: {found.missing}")
    best = table[table["is_best"]].iloc[0]
    shown = {
        EXPERIMENT: found.name,
        "missing_points": found.missing,
        "best_learning_rate": float(best["learning_rate"]),
        "best_batch_size": int(best["batch_size"]),
        "table": table_metadata(table),
        "heat_map": png_metadata(draw_grid(table), "validation loss by learning rate and batch"),
    }
    return table_result("grid_search", table, shown)
