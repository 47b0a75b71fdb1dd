"""Stage finetune: a grid over learning rate and batch size, one point a partition."""

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.build import Manifest
from ecg_assets.defs.assets.cross_validation import ALL_SHARDS, NOT_IN_RECIPE
from ecg_assets.defs.assets.finetune import FinetuneConfig
from ecg_assets.defs.experiments import EXPERIMENT, newest_experiment
from ecg_assets.defs.finetune_result import trained_result
from ecg_assets.defs.native_training import native_request, require_native, run_training
from ecg_assets.defs.partitions import GRID, GRID_POINTS, ONE_TRAINING_A_RUN
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings, Trainer
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.errors import SettingsError
from ecg_assets.finetune.experiment import grid_request
from ecg_assets.finetune.experiment_figures import draw_grid
from ecg_assets.finetune.grid_search import rank_grid


@dg.asset(
    group_name="finetune",
    partitions_def=GRID,
    backfill_policy=ONE_TRAINING_A_RUN,
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "huggingface"},
    deps=[ALL_SHARDS],
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
    require_native(config.trainer or settings.trainer)
    if config.learning_rate is not None or config.batch_size is not None:
        raise SettingsError(
            "learning_rate and batch_size are the partition's in a grid; leave them out of the "
            "configuration, and set ECG_GRID_LEARNING_RATES and ECG_GRID_BATCH_SIZES."
        )
    plain = native_request(
        context.instance,
        settings,
        preset=config.preset,
        pretrained=config.pretrained,
        changes=config.model_dump(exclude=NOT_IN_RECIPE, exclude_none=True),
    )
    rate, size = GRID_POINTS[context.partition_key]
    root = settings.folder("grid_search")
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
    root = settings.folder("grid_search")
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
