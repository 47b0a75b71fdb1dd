"""Stage finetune: k-fold cross-validation, one fold a partition."""

from typing import Literal

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.defs.assets.finetune import FinetuneConfig
from ecg_assets.defs.experiments import EXPERIMENT, newest_experiment
from ecg_assets.defs.finetune_result import trained_result
from ecg_assets.defs.native_training import native_request, require_native, run_training
from ecg_assets.defs.partitions import FOLDS, N_FOLDS, ONE_TRAINING_A_RUN
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings, Trainer
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.finetune.cross_validation import combine_folds, summarize
from ecg_assets.finetune.experiment import fold_request
from ecg_assets.finetune.experiment_figures import draw_folds
from ecg_assets.models.checkpoint_files import read_validation_predictions

# Another partitioning than that of what is trained: each training reads all shards.
ALL_SHARDS = dg.AssetDep("signal_shards", partition_mapping=dg.AllPartitionMapping())
NOT_IN_RECIPE = {"trainer", "preset", "pretrained"}


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
    deps=[ALL_SHARDS],
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
    require_native(config.trainer or settings.trainer)
    changes = config.model_dump(exclude={*NOT_IN_RECIPE, "rare_labels"}, exclude_none=True)
    request = fold_request(
        native_request(
            context.instance,
            settings,
            preset=config.preset,
            pretrained=config.pretrained,
            changes=changes,
        ),
        manifests,
        int(context.partition_key),
        n_folds=N_FOLDS,
        root=settings.folder("cross_validation"),
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
    root = settings.folder("cross_validation")
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
