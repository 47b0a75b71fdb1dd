"""Checks on what lies behind an evaluation: drift between splits, patients seen in training."""

import dagster as dg
import pandas as pd

from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation.leakage import find_overlaps, overlap_table
from ecg_assets.evaluation.shift.drift import SHIFTED, farthest_from_reference, is_shifted
from ecg_assets.evaluation.training_history import trace_training
from ecg_assets.models.predictions import Predictions


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
    stages = trace_training(settings.checkpoints / context.partition_key, settings.data_path)
    overlaps = find_overlaps(stages, set(predictions.subject_ids.tolist()), settings.source)
    leaks = [found for found in overlaps if found.is_leak]
    saw_labels = any(found.stage.kind == "fine-tuning" for found in leaks)
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


CHECKS = [no_split_differs_from_train, no_evaluated_patient_was_trained_on]
