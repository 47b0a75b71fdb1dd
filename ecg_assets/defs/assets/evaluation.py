"""Stage evaluation: every checkpoint, by its partition, on the current source."""

from functools import partial

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from dagster import AssetExecutionContext

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.defs.checkpoint_state import CONTENT, fingerprint_checkpoint
from ecg_assets.defs.conditions import (
    ANY_EVALUATION_CHANGED,
    EVALUATED_ON_OTHER_DATA,
    WITH_ITS_INPUTS,
)
from ecg_assets.defs.data_versions import current_inputs
from ecg_assets.defs.dropped_checkpoints import prepare_checkpoint
from ecg_assets.defs.evaluation_set import (
    choose_rows,
    evaluation_set_name,
    validation_scores_path,
)
from ecg_assets.defs.evaluation_view import metrics_metadata, training_inputs
from ecg_assets.defs.external_sets import find_unmapped
from ecg_assets.defs.leaderboard_view import (
    collect_evaluations,
    compare_with_champions,
    leaderboard_metadata,
)
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.refused_checkpoints import LISTING, list_refused, refusals_kept
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.evaluation import (
    EvaluationResult,
    build_leaderboard,
    evaluate_checkpoint,
    write_reference_metrics,
)
from ecg_assets.lineage import fingerprint_json, fingerprint_table
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
    code_version="2",
    deps=["finetuned_checkpoint"],
)
def checkpoint(context: AssetExecutionContext, settings: Settings) -> dg.MaterializeResult[None]:
    """One checkpoint, whatever made it: its content's fingerprint, signal spec and labels.

    A .pt or .pth file below checkpoints is imported into the folder of its name. What
    cannot be loaded is refused with its reason. This asset stands between
    `finetuned_checkpoint` and the evaluation so that a new checkpoint makes no other
    checkpoint's evaluation stale.
    """
    with refusals_kept(settings, context.partition_key):
        folder = prepare_checkpoint(
            settings.checkpoints,
            context.partition_key,
            settings.signal_spec,
            settings.load_label_set().vocabulary,
        )
    card = read_card(folder)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_checkpoint(folder)),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "weights": card.fingerprint,
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
    automation_condition=EVALUATED_ON_OTHER_DATA,
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
    code_version="2",
    kinds={"json"},
    automation_condition=WITH_ITS_INPUTS,
)
def eval_metrics(
    context: AssetExecutionContext, settings: Settings, predictions: Predictions
) -> dg.MaterializeResult[EvaluationResult]:
    """Metrics with 95 % intervals over patients, and the fingerprint of everything behind them."""
    card = read_card(settings.checkpoints / context.partition_key)
    result = evaluate_checkpoint(
        read_validation_predictions(card.folder, validation_scores_path(settings, card.folder)),
        predictions,
        checkpoint=context.partition_key,
        source=settings.source,
        evaluation_set=evaluation_set_name(settings, card.trained_on),
        signal_spec=card.spec.to_json(),
        lineage=current_inputs(context.instance, context.partition_key) | training_inputs(card),
        n_resamples=settings.n_resamples,
        seed=settings.seed,
        unmapped=find_unmapped(settings, card.vocabulary.names),
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
            CONTENT: fingerprint_checkpoint(card.folder),
            "reference_metrics": dg.MetadataValue.path(reference),
        },
    )


@dg.asset(group_name="evaluation", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def refused_checkpoints(settings: Settings) -> dg.MaterializeResult[pd.DataFrame]:
    """Files and folders below checkpoints that could not be used: why, and since when."""
    table = list_refused(settings)
    listing = fingerprint_json(table.to_dict("records"))
    shown = {"refused": table_metadata(table), LISTING: listing}
    return table_result("refused_checkpoints", table, shown)


@dg.asset(
    group_name="evaluation",
    io_manager_key="parquet",
    code_version="2",
    kinds={"parquet"},
    deps=["predictions"],
    automation_condition=ANY_EVALUATION_CHANGED,
)
def leaderboard(
    settings: Settings,
    eval_metrics: dict[str, EvaluationResult],
    external_metrics: dict[str, list[EvaluationResult]],
) -> dg.MaterializeResult[pd.DataFrame]:
    """All evaluated checkpoints side by side, set by set, each against its set's champion.

    The champion has the highest macro AUROC over the labels that are defined for all
    checkpoints of the set. A checkpoint whose files were removed keeps its row.
    """
    evaluations = collect_evaluations(settings, eval_metrics, external_metrics)
    results = [evaluation.result for evaluation in evaluations]
    comparisons = compare_with_champions(settings, evaluations)
    table = build_leaderboard(results, comparisons.differences)
    shown = leaderboard_metadata(settings, table, comparisons)
    return table_result("leaderboard", table, shown)
