"""Predictions to a result: thresholds from validation, metrics and intervals on the set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecg_assets.evaluation.calibration import reliability_table
from ecg_assets.evaluation.described_labels import describe_with_intervals
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.thresholds import THRESHOLD_RULES, Thresholds, threshold_table
from ecg_assets.labels.label_vocabulary import require_same_labels
from ecg_assets.models.predictions import Predictions, ValidationPredictions


def evaluate_checkpoint(
    validation: ValidationPredictions,
    predictions: Predictions,
    *,
    checkpoint: str,
    source: str,
    evaluation_set: str,
    signal_spec: Mapping[str, Any],
    lineage: Mapping[str, str],
    rule: str = "youden",
    n_resamples: int = 1000,
    seed: int = 0,
    unmapped: Mapping[str, str] | None = None,
) -> EvaluationResult:
    """Evaluate a checkpoint's predictions.

    Parameters
    ----------
    validation
        Predictions of the checkpoint's own validation split: thresholds come from here alone.
    predictions
        Predictions of the set to evaluate on.
    checkpoint, source, evaluation_set, signal_spec, lineage
        What is evaluated on what, made from what; they are copied to the result.
    rule
        Threshold rule.
    n_resamples, seed
        Of the bootstrap over patients.
    unmapped
        Label to the reason why the set cannot express it: such a label has no numbers,
        whatever its column of targets holds.

    Raises
    ------
    SpecMismatch
        When the two predictions are of different labels.
    TypeError
        When `validation` is not typed as predictions of a validation split.
    ValueError
        When `unmapped` names a label that the checkpoint does not have.
    """
    require_same_labels(
        validation.vocabulary, predictions.vocabulary, where="the evaluation set's predictions"
    )
    names, left_out = predictions.vocabulary.names, dict(unmapped or {})
    unknown = sorted(set(left_out) - set(names))
    if unknown:
        raise ValueError(f"unmapped names {unknown}, which are no labels of {checkpoint}.")
    chosen = {name: Thresholds.from_validation(validation, name) for name in THRESHOLD_RULES}
    thresholds = chosen.get(rule) or Thresholds.from_validation(validation, rule)
    found = describe_with_intervals(
        predictions.target,
        predictions.score,
        names,
        thresholds.values,
        predictions.subject_ids,
        left_out=left_out,
        n_resamples=n_resamples,
        seed=seed,
    )
    by_rule = threshold_table(predictions, list(chosen.values()))
    reliability = reliability_table(names, predictions.target, predictions.score)
    return EvaluationResult(
        checkpoint=checkpoint,
        source=source,
        evaluation_set=evaluation_set,
        n_records=len(predictions),
        n_patients=len(np.unique(predictions.subject_ids)),
        signal_spec=dict(signal_spec),
        label_vocabulary=predictions.vocabulary.to_json(),
        threshold_rule=rule,
        n_validation_records=thresholds.n_records,
        labels=found.labels,
        **found.summaries,
        undefined=found.undefined,
        threshold_table=by_rule[~by_rule["label"].isin(left_out)].reset_index(drop=True),
        reliability=reliability[~reliability["label"].isin(left_out)].reset_index(drop=True),
        n_resamples=n_resamples,
        seed=seed,
        lineage=dict(lineage),
    )
