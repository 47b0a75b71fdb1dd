"""Checks of the stage evaluation; none stops a run: they say what to look at."""

import json

import dagster as dg
import pandas as pd

from ecg_assets.build import Manifest
from ecg_assets.defs.data_versions import current_inputs
from ecg_assets.defs.evaluation_set import validation_scores_path
from ecg_assets.defs.evaluation_view import TRAINING
from ecg_assets.defs.leaderboard_view import compare_pair
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.errors import SchemaError, SpecMismatch
from ecg_assets.evaluation import EvaluationResult, find_champions, find_compared_labels
from ecg_assets.evaluation.leaderboard import judge_difference
from ecg_assets.evaluation.shift.calibration_shift import LEAST_PATIENTS, compare_calibration
from ecg_assets.evaluation.shift.predicted_shares import compare_predicted_shares
from ecg_assets.lineage import find_mismatches
from ecg_assets.models.checkpoint_files import read_validation_predictions
from ecg_assets.models.predictions import Predictions, ValidationPredictions

WARN = dg.AssetCheckSeverity.WARN


@dg.asset_check(asset="eval_metrics", partitions_def=CHECKPOINTS, blocking=False)
def inputs_are_those_stored_now(
    context: dg.AssetCheckExecutionContext, eval_metrics: EvaluationResult
) -> dg.AssetCheckResult:
    """Compare every fingerprint behind the metrics with what is stored now."""
    required = {
        name: fingerprint
        for name, fingerprint in eval_metrics.lineage.items()
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
    settings: Settings, eval_metrics: EvaluationResult
) -> dg.AssetCheckResult:
    """Its macro AUROC is not below the champion's by more than chance, paired by patient."""
    results = _results_of_the_set(settings, eval_metrics)
    champion = find_champions(results).get(eval_metrics.evaluation_set)
    if champion in {None, eval_metrics.checkpoint}:
        return dg.AssetCheckResult(passed=True, metadata={"champion": champion})
    folder = settings.folder("predictions")
    own, other = (folder / f"{name}.parquet" for name in (eval_metrics.checkpoint, champion))
    try:
        table = compare_pair(settings, own, other, find_compared_labels(results))
    except (SpecMismatch, FileNotFoundError) as error:
        shown = {"champion": champion, "not_compared": str(error)}
        return dg.AssetCheckResult(passed=True, metadata=shown)
    rows = table[(table["label"] == "macro") & (table["metric"] == "auroc")]
    verdict = judge_difference(*rows[["low", "high"]].iloc[0])
    return dg.AssetCheckResult(
        passed=verdict != "worse",
        severity=WARN,
        metadata={"champion": champion, "verdict": verdict, "difference": table_metadata(rows)},
    )


@dg.asset_check(asset="eval_metrics", partitions_def=CHECKPOINTS, blocking=False)
def calibration_is_that_of_validation(
    context: dg.AssetCheckExecutionContext, settings: Settings, eval_metrics: EvaluationResult
) -> dg.AssetCheckResult:
    """Scores mean on this set what they meant on validation: intervals of the line overlap."""
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
    folder = settings.checkpoints / checkpoint_id
    return read_validation_predictions(folder, validation_scores_path(settings, folder))


def _results_of_the_set(settings: Settings, result: EvaluationResult) -> list[EvaluationResult]:
    """Stored results on the same set, and this one; those of another version are left out."""
    found = [result]
    for path in sorted(settings.folder("eval_metrics").glob("*.json")):
        try:
            other = EvaluationResult.from_json(json.loads(path.read_text()))
        except SchemaError:
            continue
        if other.evaluation_set == result.evaluation_set and other.checkpoint != result.checkpoint:
            found.append(other)
    return found


CHECKS = [
    inputs_are_those_stored_now,
    no_worse_than_the_champion,
    calibration_is_that_of_validation,
    every_label_can_be_measured,
    predicted_shares_are_those_of_validation,
]
