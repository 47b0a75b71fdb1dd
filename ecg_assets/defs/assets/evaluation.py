"""Stage evaluation: every checkpoint, by its partition, on the current source."""

from functools import partial

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from dagster import AssetExecutionContext

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.defs.data_versions import current_inputs
from ecg_assets.defs.evaluation_set import (
    choose_rows,
    evaluation_set_name,
    validation_scores_path,
)
from ecg_assets.defs.evaluation_view import draw_pictures, metrics_metadata, training_inputs
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.evaluation import (
    EvaluationResult,
    build_leaderboard,
    evaluate,
    write_reference_metrics,
    write_report,
)
from ecg_assets.lineage import fingerprint_folder, fingerprint_json, fingerprint_table
from ecg_assets.models.checkpoint_files import (
    VALIDATION_PREDICTIONS,
    read_card,
    read_validation_predictions,
)
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_file


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    code_version="1",
    deps=["finetuned_checkpoint"],
)
def checkpoint(context: AssetExecutionContext, settings: Settings) -> dg.MaterializeResult[None]:
    """One checkpoint folder, whatever made it: its weights' fingerprint, spec and labels.

    It stands between `finetuned_checkpoint` and the evaluation so that a new
    checkpoint makes no other checkpoint's evaluation stale.
    """
    folder = settings.checkpoints / context.partition_key
    card = read_card(folder)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(card.fingerprint),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "signal_spec": card.spec.to_json(),
            "label_vocabulary": card.vocabulary.to_json(),
        },
    )


def _open_signals(
    context: AssetExecutionContext, settings: Settings, manifest: Manifest
) -> SignalCache:
    return SignalCache.open(
        manifest.index,
        settings.folder("signal_shards"),
        manifest.spec,
        settings.folder("cache"),
        progress=lambda done, total: context.log.info(f"signals of {done} of {total} records read"),
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    pool="gpu",
    io_manager_key="predictions",
    code_version="1",
    kinds={"pytorch", "parquet"},
    deps=["checkpoint", "signal_shards"],
)
def predictions(
    context: AssetExecutionContext, settings: Settings, manifests: Manifest
) -> dg.MaterializeResult[Predictions]:
    """Probability of each label for each recording of the evaluation set.

    The set is the test split of the source that the checkpoint was trained on, and all
    recordings of any other source. A checkpoint that was not trained here gets its
    thresholds from this source's validation split, and is evaluated on the test split.
    """
    from ecg_assets.evaluation.predict import predict_checkpoint

    folder = settings.checkpoints / context.partition_key
    chosen = choose_rows(manifests, settings, read_card(folder).trained_on)
    predict = partial(
        predict_checkpoint,
        folder,
        manifests,
        _open_signals(context, settings, manifests),
        device=settings.device,
        precision=settings.precision,
    )
    scores = predict(chosen.rows)
    if not (folder / VALIDATION_PREDICTIONS).is_file():
        with replace_file(validation_scores_path(settings, folder)) as temporary:
            validation = predict(manifests.rows("valid")).to_table()
            pq.write_table(validation, temporary, compression="zstd")
    return dg.MaterializeResult(
        value=scores,
        data_version=dg.DataVersion(fingerprint_table(scores.to_table())),
        metadata={"records": len(scores), "evaluation_set": chosen.description},
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    io_manager_key="metrics",
    code_version="1",
    kinds={"json"},
)
def eval_metrics(
    context: AssetExecutionContext, settings: Settings, predictions: Predictions
) -> dg.MaterializeResult[EvaluationResult]:
    """Metrics with 95 % intervals over patients, and the fingerprint of everything behind them."""
    card = read_card(settings.checkpoints / context.partition_key)
    result = evaluate(
        read_validation_predictions(card.folder, validation_scores_path(settings, card.folder)),
        predictions,
        checkpoint=context.partition_key,
        source=settings.source,
        evaluation_set=evaluation_set_name(settings, card.trained_on),
        signal_spec=card.spec.to_json(),
        lineage=current_inputs(context.instance, context.partition_key) | training_inputs(card),
        n_resamples=settings.n_resamples,
        seed=settings.seed,
    )
    reference = settings.folder("reference_metrics") / f"{context.partition_key}.csv"
    write_reference_metrics(predictions, reference)
    return dg.MaterializeResult(
        value=result,
        data_version=dg.DataVersion(fingerprint_json(result.to_json())),
        metadata={
            **metrics_metadata(result),
            "source": settings.source,
            "checkpoint_fingerprint": card.fingerprint,
            "reference_metrics": dg.MetadataValue.path(reference),
        },
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    code_version="1",
    kinds={"html"},
    deps=["signal_shards"],
)
def eval_report(
    context: AssetExecutionContext,
    settings: Settings,
    manifests: Manifest,
    predictions: Predictions,
    eval_metrics: EvaluationResult,
) -> dg.MaterializeResult[None]:
    """One HTML page with tables, curves and example strips; the pictures are also here."""
    pictures = draw_pictures(eval_metrics, predictions, manifests, settings.folder("signal_shards"))
    folder = settings.folder("eval_report") / context.partition_key
    path = write_report(eval_metrics, pictures, folder)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "report": dg.MetadataValue.path(path),
            **{title: png_metadata(png, title) for title, png in pictures.items()},
        },
    )


@dg.asset(group_name="evaluation", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def leaderboard(eval_metrics: dict[str, EvaluationResult]) -> dg.MaterializeResult[pd.DataFrame]:
    """All evaluated checkpoints side by side; the best one of each set is its champion."""
    table = build_leaderboard(list(eval_metrics.values()))
    return table_result("leaderboard", table, {"leaderboard": table_metadata(table)})
