"""Checks of the stage evaluation; none stops a run: they say what to look at."""

import dagster as dg
import pandas as pd
from dagster import AssetCheckExecutionContext

from ecg_assets.build import Manifest
from ecg_assets.defs.data_versions import current_inputs
from ecg_assets.defs.input_facts import source_of
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import TRAINING
from ecg_assets.defs.show_leaderboard import by_registration, compare_pair
from ecg_assets.defs.tables import table_metadata
from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import EvaluationResult, find_champions, find_compared_labels
from ecg_assets.evaluation.external.crosswalk import unmapped_labels
from ecg_assets.evaluation.external.evaluate_sets import explain_relation
from ecg_assets.evaluation.leaderboard import TOO_FEW, judge_difference
from ecg_assets.evaluation.leakage import find_overlaps, overlap_table
from ecg_assets.evaluation.result import read_own_results
from ecg_assets.evaluation.sets import Relation
from ecg_assets.evaluation.shift.drift import SHIFTED, farthest_from_reference, is_shifted
from ecg_assets.evaluation.shift.from_validation import (
    compare_calibration,
    compare_predicted_shares,
)
from ecg_assets.lineage import find_mismatches
from ecg_assets.metrics.intervals import LEAST_PATIENTS
from ecg_assets.metrics.metrics import pick_macro
from ecg_assets.models.checkpoint_folder import read_validation_predictions, validation_scores_path
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.models.seen_patients import read_seen_patients

WARN = dg.AssetCheckSeverity.WARN
NUMBERS = "nothing: the checkpoint predicts numbers, which have neither threshold nor calibration"


@dg.asset_check(asset="eval_metrics", partitions_def=CHECKPOINTS, blocking=False)
def inputs_are_those_stored_now(
    context: dg.AssetCheckExecutionContext, eval_metrics: EvaluationResult
) -> dg.AssetCheckResult:
    """Compare every content hash behind the metrics with what is stored now."""
    required = {
        name: content
        for name, content in eval_metrics.lineage.items()
        if not name.startswith(TRAINING)
    }
    mismatches = find_mismatches(required, current_inputs(context.instance, context.partition_key))
    return dg.AssetCheckResult(
        passed=not mismatches,
        severity=WARN,
        metadata={
            "inputs": len(required),
            "changed_since": [str(mismatch) for mismatch in mismatches],
        },
    )


@dg.asset_check(asset="eval_metrics", partitions_def=CHECKPOINTS, blocking=False)
def no_worse_than_the_champion(
    context: AssetCheckExecutionContext, settings: Settings, eval_metrics: EvaluationResult
) -> dg.AssetCheckResult:
    """Its macro AUROC is not below the champion's by more than chance, paired by patient."""
    results, skipped = _results_of_the_set(settings, eval_metrics)
    ordered = by_registration(context.instance, results)
    champion = find_champions(ordered).get(eval_metrics.evaluation_set)
    if champion in {None, eval_metrics.checkpoint}:
        shown = {
            "champion": champion,
            "verdict": TOO_FEW if eval_metrics.is_too_small else "nothing to compare with",
            "skipped_results": table_metadata(skipped),
        }
        return dg.AssetCheckResult(passed=True, metadata=shown)
    folder = settings.stored.folder("predictions")
    own, other = (folder / f"{name}.parquet" for name in (eval_metrics.checkpoint, champion))
    try:
        table = compare_pair(
            own,
            other,
            find_compared_labels(results),
            n_resamples=eval_metrics.n_resamples,
            seed=settings.seed,
        )
    except (SpecMismatch, FileNotFoundError) as error:
        shown = {"champion": champion, "not_compared": str(error)}
        return dg.AssetCheckResult(passed=True, metadata=shown)
    rows = pick_macro(table, eval_metrics.main_metric)
    verdict = judge_difference(*rows[["low", "high"]].iloc[0])
    return dg.AssetCheckResult(
        passed=verdict != "worse",
        severity=WARN,
        metadata={
            "champion": champion,
            "verdict": verdict,
            "difference": table_metadata(rows),
            "skipped_results": table_metadata(skipped),
        },
    )


@dg.asset_check(asset="eval_metrics", partitions_def=CHECKPOINTS, blocking=False)
def calibration_is_that_of_validation(
    context: dg.AssetCheckExecutionContext, settings: Settings, eval_metrics: EvaluationResult
) -> dg.AssetCheckResult:
    """Scores mean on this set what they meant on validation: intervals of the line overlap."""
    if eval_metrics.is_of_numbers:
        return dg.AssetCheckResult(passed=True, metadata={"compared": NUMBERS})
    validation = _validation(settings, context.partition_key)
    table = compare_calibration(validation, eval_metrics)
    return dg.AssetCheckResult(
        passed=not table["is_shifted"].any(),
        severity=WARN,
        metadata={
            "calibration": table_metadata(table),
            "patients": eval_metrics.n_patients,
            "validation_patients": len(set(validation.subject_ids.tolist())),
            "least_patients": LEAST_PATIENTS,
        },
    )


@dg.asset_check(asset="eval_metrics", partitions_def=CHECKPOINTS, blocking=False)
def every_label_can_be_measured(eval_metrics: EvaluationResult) -> dg.AssetCheckResult:
    """Each label of the vocabulary has positive and negative recordings in the set."""
    reasons = pd.DataFrame(eval_metrics.undefined.items(), columns=["label", "reason"])
    return dg.AssetCheckResult(
        passed=reasons.empty,
        severity=WARN,
        metadata={"labels": len(eval_metrics.labels), "undefined": table_metadata(reasons)},
    )


@dg.asset_check(
    asset="predictions",
    partitions_def=CHECKPOINTS,
    additional_ins={"manifests": dg.AssetIn("manifests")},
    blocking=False,
)
def predicted_shares_are_those_of_validation(
    context: dg.AssetCheckExecutionContext,
    settings: Settings,
    predictions: Predictions,
    manifests: Manifest,
) -> dg.AssetCheckResult:
    """In each shard as many recordings are called positive as on validation, but for chance."""
    if predictions.vocabulary.is_continuous:
        return dg.AssetCheckResult(passed=True, metadata={"compared": NUMBERS})
    shard_of = manifests.index.set_index("record_id")["shard"]
    shards = shard_of.loc[predictions.record_ids.tolist()].to_numpy(str)
    validation = _validation(settings, context.partition_key)
    table = compare_predicted_shares(validation, predictions, shards)
    shifted = table[table["is_shifted"]].sort_values("index", ascending=False)
    return dg.AssetCheckResult(
        passed=shifted.empty,
        severity=WARN,
        metadata={
            "compared": len(table),
            "shifted": len(shifted),
            "largest_shifts": table_metadata(shifted.head(20)),
        },
    )


def _validation(settings: Settings, checkpoint_id: str) -> ValidationPredictions:
    folder = settings.store.checkpoints / checkpoint_id
    return read_validation_predictions(folder, validation_scores_path(folder, settings.stored))


def _results_of_the_set(
    settings: Settings, result: EvaluationResult
) -> tuple[list[EvaluationResult], pd.DataFrame]:
    """Stored results on the same set, and this one; and the files that could not be read."""
    stored = read_own_results(settings.stored.folder("eval_metrics"))
    others = [
        other
        for other in stored.values()
        if other.evaluation_set == result.evaluation_set and other.checkpoint != result.checkpoint
    ]
    return [result, *others], stored.skipped_table()


# Checks on what lies behind an evaluation: drift between splits, patients seen in training.


@dg.asset_check(asset="drift", blocking=False)
def no_split_differs_from_train(drift: pd.DataFrame) -> dg.AssetCheckResult:
    """A validation or test split of other patients, labels or signals than train measures
    something else; an index counts above 0.25 and above what 1 in 1,000 reaches by chance.
    """  # noqa: D205
    of_splits = drift[drift["comparison"] == "split"]
    shifted = of_splits[is_shifted(of_splits)]
    return dg.AssetCheckResult(
        passed=shifted.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "compared": len(of_splits),
            "shifted": len(shifted),
            "limit": SHIFTED,
            "farthest": table_metadata(farthest_from_reference(of_splits)),
        },
    )


@dg.asset_check(asset="predictions", partitions_def=CHECKPOINTS, blocking=False)
def no_evaluated_patient_was_trained_on(
    context: dg.AssetCheckExecutionContext, settings: Settings, predictions: Predictions
) -> dg.AssetCheckResult:
    """Compare the evaluated patients with those of the checkpoint's training and pre-training.

    What weights from elsewhere saw is not known: that is said, and is no failure.
    """
    seen = read_seen_patients(settings.store.checkpoints / context.partition_key)
    source = source_of(predictions.made_with, settings)
    overlaps = find_overlaps(seen, predictions.subject_ids.tolist(), source)
    leaks = [found for found in overlaps if found.is_leak]
    saw_labels = any(found.saw_labels for found in leaks)
    return dg.AssetCheckResult(
        passed=not leaks,
        severity=dg.AssetCheckSeverity.ERROR if saw_labels else dg.AssetCheckSeverity.WARN,
        metadata={
            "evaluated_patients": len(set(predictions.subject_ids.tolist())),
            "patients_seen_in_training": sum(found.n_seen or 0 for found in leaks),
            "trainings": table_metadata(overlap_table(overlaps)),
            "unknown": [found.statement for found in overlaps if found.n_seen is None],
        },
    )


# Checks of checkpoints on other sources, and of labels across codings.


@dg.asset_check(asset="label_crosswalk", blocking=False)
def current_source_expresses_every_label(
    settings: Settings, label_crosswalk: pd.DataFrame
) -> dg.AssetCheckResult:
    """A label that the current source has no codes for is neither learned nor measured on it."""
    here = label_crosswalk[label_crosswalk["evaluation_source"] == settings.source]
    unmapped = unmapped_labels(here)
    table = pd.DataFrame(unmapped.items(), columns=["label", "reason"])
    return dg.AssetCheckResult(
        passed=not unmapped,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"labels": here["label"].nunique(), "unmapped": table_metadata(table)},
    )


@dg.asset_check(asset="external_metrics", partitions_def=CHECKPOINTS, blocking=False)
def sets_do_not_overlap_with_training(
    context: AssetCheckExecutionContext,
    settings: Settings,
    external_metrics: list[EvaluationResult],
) -> dg.AssetCheckResult:
    """A set that may hold recordings of the training is listed with the reason."""
    seen = read_seen_patients(settings.store.checkpoints / context.partition_key)
    overlapping = {
        result.evaluation_set.name: explain_relation(result.source, seen)
        for result in external_metrics
        if result.relation not in {Relation.EXTERNAL, Relation.OWN}
    }
    return dg.AssetCheckResult(
        passed=not overlapping,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"sets": len(external_metrics), "overlapping": overlapping},
    )
