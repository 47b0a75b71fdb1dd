"""Stage finetune: trainings that belong together, one a partition; first the folds."""

from pathlib import Path
from typing import Any, Literal

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.build.builder import keep_scorable
from ecg_assets.defs.computing import measure_grid, score
from ecg_assets.defs.input_facts import require_manifest
from ecg_assets.defs.partitions import (
    AFTER_ALL_SHARDS,
    FOLDS,
    GRID,
    GRID_POINTS,
    N_FOLDS,
    ONE_TRAINING_A_RUN,
    REPEATED,
    REPETITIONS,
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
from ecg_assets.made_with import plain_facts, with_facts
from ecg_assets.models.checkpoint_folder import read_validation_predictions
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_file
from ecg_assets.training.finetune.cross_validation import combine_folds, draw_folds, summarize
from ecg_assets.training.finetune.experiments import (
    draw_grid,
    fold_request,
    grid_request,
    rank_grid,
    repeated_request,
    require_labels_to_measure,
)
from ecg_assets.training.finetune.probe_grid import (
    AS_TRAINED,
    advise,
    draw_probes,
    rank_probes,
    require_grid,
    summarize_probes,
)
from ecg_assets.training.finetune.repetition import (
    combine_repetitions,
    draw_repetitions,
    summarize_repetitions,
)
from ecg_assets.training.finetune.request import PRETRAINED_INPUT, FinetuneRequest


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


# Stage finetune: a grid of linear probes, trained as one in a single run.


class ProbeGridConfig(dg.Config):
    """The grid, and where it starts."""

    preset: str = Field(default="", description="Preset name; empty: ECG_PRESET.")
    pretrained: str = Field(
        default="",
        description="Checkpoint to start from, as of finetuned_checkpoint; empty: ECG_PRETRAINED.",
    )
    learning_rates: list[float] = Field(
        default=[1e-4, 3e-4, 1e-3, 3e-3, 1e-2], description="Learning rates, constant."
    )
    weight_decays: list[float] = Field(default=[0.0, 0.1], description="Weight decays, AdamW's.")
    seeds: list[int] = Field(
        default=[0, 1, 2], description="Seeds of a head's initial weights and of the order."
    )
    epochs: int = Field(default=20, ge=1, description="Passes over the training split.")
    batch_size: int = Field(default=128, ge=1, description="Segments in a step.")


@dg.asset(
    group_name="finetune",
    io_manager_key="parquet",
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "parquet"},
    deps=["signal_shards"],
)
def probe_grid(
    context: AssetExecutionContext,
    config: ProbeGridConfig,
    settings: Settings,
    trainer: Trainer,
    manifests: Manifest,
) -> dg.MaterializeResult[pd.DataFrame]:
    """Validation loss and macro AUROC of linear probes: each learning rate, weight decay and seed.

    The encoder's features are computed once and stored; all heads train on them as one. The best
    rate and decay have the lowest mean loss over the seeds. The test split is not read.
    """
    require_manifest(settings, manifests)
    require_labels_to_measure(manifests)
    sizes = {"epochs": config.epochs, "batch_size": config.batch_size}
    recipe: dict[str, Any] = {**AS_TRAINED, **sizes, "reports_test": False}
    probe = FinetuneConfig(preset=config.preset, pretrained=config.pretrained, **recipe)
    request = native_request(context.instance, settings, probe)
    grid = config.model_dump(include={"learning_rates", "weight_decays", "seeds"})
    require_grid(request.recipe, **grid)
    table = rank_probes(trainer.computing(context, settings)(measure_grid, request, **grid))
    facts = {**manifests.made_with, **_facts_of_probes(request, grid)}
    best = table[table["is_best"]].iloc[0]
    shown = {
        "best_learning_rate": float(best["learning_rate"]),
        "best_weight_decay": float(best["weight_decay"]),
        "next": advise(table, request.recipe),
        "undefined": sorted(set(table["undefined"].dropna())),
        "summary": table_metadata(summarize_probes(table)),
        "curves": png_metadata(draw_probes(table), "linear probes by learning rate"),
        "inputs": {k: v for k, v in request.inputs.items() if k in ("manifests", PRETRAINED_INPUT)},
        "made_with": plain_facts(facts),
    }
    return table_result("probe_grid", with_facts(table, facts), shown)


def _facts_of_probes(request: FinetuneRequest, grid: dict[str, Any]) -> dict[str, Any]:
    """Say what the probes were made with; of the recipe without what the grid varies."""
    asked = request.identity
    recipe = {k: v for k, v in asked["recipe"].items() if f"{k}s" not in grid}
    kept = ("preset", "inputs", "precision", "seed")  # the seed is a random encoder's
    return {**{name: asked[name] for name in kept}, "recipe": recipe, "grid": grid}


# Stage finetune: the same training with several seeds, on shares of the training patients.


@dg.asset(
    group_name="finetune",
    partitions_def=REPEATED,
    backfill_policy=ONE_TRAINING_A_RUN,
    pool="gpu",
    code_version="1",
    kinds={"pytorch", "huggingface"},
    deps=[AFTER_ALL_SHARDS],
)
def repeated_checkpoint(
    context: AssetExecutionContext,
    config: FinetuneConfig,
    settings: Settings,
    trainer: Trainer,
    manifests: Manifest,
) -> dg.MaterializeResult[None]:
    """A model trained with the partition's seed on its share of the training patients.

    The seed chooses the patients, too; of one seed those of 1 % are among those of 10 %. The
    finished model scores the test split, which chooses nothing. Results are kept apart from the
    ordinary checkpoints; a finished one is reused, an interrupted one resumes, as those are.
    """
    require_native(config.trainer)
    require_manifest(settings, manifests)
    require_labels_to_measure(manifests)
    if "train_fraction" in config.changes():
        raise SettingsError(
            "train_fraction is the partition's here; leave it out of the configuration."
        )
    stored = settings.stored
    rows = keep_scorable(manifests, manifests.rows("test"), stored.shards)
    if not len(rows):
        raise SettingsError("No recording is in the test split: set ECG_TEST_SHARE above 0.")
    fraction, seed = REPETITIONS[context.partition_key]
    plain = native_request(context.instance, settings, config)
    root = stored.folder("repeated_trainings")
    request = repeated_request(plain, fraction=fraction, seed=seed, root=root)
    folder = run_training(context, settings, trainer, request)
    scores = trainer.computing(context, settings)(
        score, settings, folder, manifests, stored=stored, rows={"test": rows}
    )
    with replace_file(_test_scores(folder)) as temporary:
        pq.write_table(scores["test"].to_table(), temporary, compression="zstd")
    return trained_result(folder, {EXPERIMENT: request.output_folder.name})


def _test_scores(checkpoint: Path) -> Path:
    """File with the test split's scores, beside a checkpoint's folder."""
    return checkpoint.parent / "test_predictions" / f"{checkpoint.name}.parquet"


@dg.asset(
    group_name="finetune",
    io_manager_key="parquet",
    code_version="1",
    kinds={"parquet"},
    deps=["repeated_checkpoint"],
)
def repeated_trainings(
    context: AssetExecutionContext, settings: Settings
) -> dg.MaterializeResult[pd.DataFrame]:
    """Metrics of the test split for each seed and share, and their mean and spread over seeds.

    Of the experiment that was trained last; a training that it lacks is named with the reason.
    """
    root = settings.stored.folder("repeated_trainings")
    found = newest_experiment(context.instance, "repeated_checkpoint", REPETITIONS, root)
    recipes = [run["request"]["recipe"] for run in found.runs().values()]
    table = combine_repetitions(
        {
            REPETITIONS[key]: Predictions.from_table(pq.read_table(_test_scores(folder)))
            for key, folder in found.folders.items()
        },
        {REPETITIONS[key]: reason for key, reason in found.missing.items()},
        exclusive=recipes[0]["objective"] == "exclusive",
    )
    if found.missing:
        context.log.warning(f"Seeds and shares that are missing: {found.missing}")
    shown = {
        EXPERIMENT: found.name,
        "trainings": len(found.folders),
        "missing_trainings": found.missing,
        "summary": table_metadata(summarize_repetitions(table)),
        "auroc_by_share": png_metadata(draw_repetitions(table), "macro AUROC by training share"),
    }
    return table_result("repeated_trainings", table, shown)
