"""Stage evaluation: every checkpoint, by its partition, on the current source."""

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.build.builder import keep_scorable
from ecg_assets.defs.checkpoint_state import CONTENT
from ecg_assets.defs.computing import score
from ecg_assets.defs.conditions import (
    ANY_EVALUATION_CHANGED,
    EVALUATED_ON_OTHER_DATA,
    WITH_ITS_INPUTS,
)
from ecg_assets.defs.data_versions import current_inputs
from ecg_assets.defs.input_facts import source_of
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import metrics_metadata, training_inputs
from ecg_assets.defs.show_leaderboard import (
    by_registration,
    collect_evaluations,
    compare_with_champions,
    leaderboard_metadata,
)
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.dropped.checkpoints import prepare_checkpoint
from ecg_assets.dropped.refused import LISTING, list_refused, refusals_kept
from ecg_assets.evaluation import EvaluationResult, build_leaderboard, evaluate_checkpoint
from ecg_assets.evaluation.external.evaluate_sets import find_unmapped
from ecg_assets.evaluation.leakage import find_overlaps
from ecg_assets.evaluation.reference_metrics import write_reference_metrics
from ecg_assets.evaluation.result import StoredResults
from ecg_assets.evaluation.sets import (
    EvaluationSet,
    choose_part,
    choose_unseen_rows,
    relate,
)
from ecg_assets.lineage import fingerprint_json, fingerprint_table
from ecg_assets.metrics.metrics import added_metrics
from ecg_assets.models.checkpoint_folder import (
    VALIDATION_PREDICTIONS,
    checkpoint_content_sha256,
    read_card,
    read_validation_predictions,
    validation_scores_path,
)
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.storage import replace_file


class IntervalsConfig(dg.Config):
    """How intervals are computed."""

    n_resamples: int = Field(default=1000, description="Bootstrap resamples of patients.", ge=0)


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    code_version="2",
    deps=["finetuned_checkpoint"],
)
def checkpoint(context: AssetExecutionContext, settings: Settings) -> dg.MaterializeResult[None]:
    """One checkpoint, whatever made it: its content's SHA-256, signal spec and labels.

    A .pt or .pth file below checkpoints is imported into the folder of its name. What
    cannot be loaded is refused with its reason. This asset stands between
    `finetuned_checkpoint` and the evaluation so that a new checkpoint makes no other
    checkpoint's evaluation stale.
    """
    with refusals_kept(settings.store, context.partition_key):
        folder = prepare_checkpoint(
            settings.store.checkpoints,
            context.partition_key,
            settings.signal_spec,
            settings.load_label_set().vocabulary,
        )
    card = read_card(folder)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(checkpoint_content_sha256(folder)),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "weights_sha256": card.weights_sha256,
            "signal_spec": card.spec.to_json(),
            "label_vocabulary": card.vocabulary.to_json(),
        },
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
    context: AssetExecutionContext, settings: Settings, trainer: Trainer, manifests: Manifest
) -> dg.MaterializeResult[Predictions]:
    """Probability of each label for each recording of the evaluation set.

    The set is the test split of the source that the checkpoint was trained on, and all
    recordings of any other source. A checkpoint that was not trained here gets its
    thresholds from this source's validation split, and is evaluated on the test split.
    """
    folder = settings.store.checkpoints / context.partition_key
    source = source_of(manifests.made_with, settings)
    seen = read_seen_patients(folder)
    part = choose_part(seen, source, gave_thresholds=True)
    rows, _ = choose_unseen_rows(seen, manifests, source, part)
    stored = settings.stored
    wanted = {"evaluated": rows}
    if not (folder / VALIDATION_PREDICTIONS).is_file():
        wanted["valid"] = manifests.rows("valid")
    found = trainer.computing(context, settings)(
        score,
        settings,
        folder,
        manifests,
        stored=stored,
        rows={n: keep_scorable(manifests, some, stored.shards) for n, some in wanted.items()},
    )
    scores = found["evaluated"]
    if "valid" in found:
        with replace_file(validation_scores_path(folder, stored)) as temporary:
            pq.write_table(found["valid"].to_table(), temporary, compression="zstd")
    return dg.MaterializeResult(
        value=scores,
        data_version=dg.DataVersion(fingerprint_table(scores.to_table())),
        metadata={
            "records": len(scores),
            "evaluation_set": EvaluationSet(source, part).name,
            "without_signal": len(rows) - len(scores),
            "left_out_of_manifests": table_metadata(manifests.count_excluded()),
        },
    )


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    io_manager_key="metrics",
    code_version=f"5{added_metrics()}",
    kinds={"json"},
    automation_condition=WITH_ITS_INPUTS,
)
def eval_metrics(
    context: AssetExecutionContext,
    config: IntervalsConfig,
    settings: Settings,
    predictions: Predictions,
) -> dg.MaterializeResult[EvaluationResult]:
    """Metrics with 95 % intervals over patients, and the content hash of everything behind them."""
    card = read_card(settings.store.checkpoints / context.partition_key)
    source = source_of(predictions.made_with, settings)
    seen = read_seen_patients(card.folder)
    scores = validation_scores_path(card.folder, settings.stored)
    result = evaluate_checkpoint(
        read_validation_predictions(card.folder, scores),
        predictions,
        checkpoint=context.partition_key,
        evaluation_set=EvaluationSet(source, choose_part(seen, source, gave_thresholds=True)),
        relation=relate(seen, source),
        seen_in_training=find_overlaps(seen, predictions.subject_ids.tolist(), source),
        signal_spec=card.spec.to_json(),
        lineage=current_inputs(context.instance, context.partition_key)
        | {"weights": card.weights_sha256}
        | training_inputs(card),
        n_resamples=config.n_resamples,
        seed=settings.seed,
        unmapped={}
        if card.vocabulary.is_continuous
        else find_unmapped(settings.stored, predictions.made_with, card.vocabulary.names),
    )
    shown = {}
    if not result.is_of_numbers:
        reference = settings.stored.folder("reference_metrics") / f"{context.partition_key}.csv"
        write_reference_metrics(predictions, reference)
        shown["reference_metrics"] = dg.MetadataValue.path(reference)
    return dg.MaterializeResult(
        value=result,
        data_version=dg.DataVersion(fingerprint_json(result.to_json())),
        metadata={
            **metrics_metadata(result),
            "source": source,
            "weights_sha256": card.weights_sha256,
            CONTENT: checkpoint_content_sha256(card.folder),
            **shown,
        },
    )


@dg.asset(group_name="evaluation", io_manager_key="parquet", code_version="2", kinds={"parquet"})
def refused_checkpoints(settings: Settings) -> dg.MaterializeResult[pd.DataFrame]:
    """Files and folders below checkpoints that could not be used: why, and since when."""
    table = list_refused(settings.store)
    listing = fingerprint_json(table.to_dict("records"))
    shown = {"refused": table_metadata(table), LISTING: listing}
    return table_result("refused_checkpoints", table, shown)


@dg.asset(
    group_name="evaluation",
    io_manager_key="parquet",
    code_version=f"5{added_metrics()}",
    kinds={"parquet"},
    deps=["predictions"],
    automation_condition=ANY_EVALUATION_CHANGED,
)
def leaderboard(
    context: AssetExecutionContext,
    settings: Settings,
    eval_metrics: StoredResults,
    external_metrics: StoredResults,
) -> dg.MaterializeResult[pd.DataFrame]:
    """All evaluated checkpoints side by side, set by set, each against its set's champion.

    The champion has the highest macro AUROC over the labels that are defined for all
    checkpoints of the set, of numbers the highest mean R². A checkpoint whose files were removed
    keeps its row. Checkpoints of the same weights are one candidate: the first registered, whose
    copies say so.
    """
    evaluations = collect_evaluations(settings, eval_metrics, external_metrics)
    found = [evaluation.result for evaluation in evaluations]
    results = by_registration(context.instance, found)
    comparisons = compare_with_champions(evaluations, results, seed=settings.seed)
    table = build_leaderboard(results, comparisons.differences)
    skipped = pd.concat([eval_metrics.skipped_table(), external_metrics.skipped_table()])
    shown = leaderboard_metadata(settings, table, comparisons, skipped)
    return table_result("leaderboard", table, shown)
