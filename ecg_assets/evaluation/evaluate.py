"""Predictions to a result: thresholds from validation, metrics and intervals on the set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation.intervals import bootstrap_by_patient, macro_mean
from ecg_assets.evaluation.metrics import METRICS, describe_labels, label_table
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.evaluation.weighted_ranks import TieBlocks
from ecg_assets.labels.label_vocabulary import require_same_labels
from ecg_assets.models.predictions import Predictions


def evaluate(
    validation: Predictions,
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

    Raises
    ------
    SpecMismatch
        When the two predictions are of different labels.
    """
    require_same_labels(
        validation.vocabulary, predictions.vocabulary, where="the evaluation set's predictions"
    )
    thresholds = Thresholds.from_validation(validation, rule)
    target, score = predictions.target, predictions.score
    values = describe_labels(target, score, thresholds.values)
    intervals = bootstrap_by_patient(
        target,
        score,
        thresholds.values,
        predictions.subject_ids,
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
    )
    labels = label_table(predictions.vocabulary.names, target, thresholds.values, values)
    for column, metric in enumerate(METRICS):
        labels[f"{metric}_low"] = intervals.low[:-1, column]
        labels[f"{metric}_high"] = intervals.high[:-1, column]
    macro = macro_mean(values, np.isfinite(values))
    return EvaluationResult(
        checkpoint=checkpoint,
        source=source,
        evaluation_set=evaluation_set,
        n_records=len(predictions.record_ids),
        n_patients=len(np.unique(predictions.subject_ids)),
        signal_spec=dict(signal_spec),
        label_vocabulary=predictions.vocabulary.to_json(),
        threshold_rule=rule,
        n_validation_records=thresholds.n_records,
        labels=labels,
        macro=_with_interval(macro, intervals.low[-1], intervals.high[-1]),
        micro=_micro(target, score),
        undefined=_find_undefined(predictions),
        n_resamples=n_resamples,
        seed=seed,
        lineage=dict(lineage),
    )


def _with_interval(
    values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> dict[str, float]:
    found: dict[str, float] = {}
    for column, metric in enumerate(METRICS):
        found[metric] = float(values[column])
        found[f"{metric}_low"] = float(low[column])
        found[f"{metric}_high"] = float(high[column])
    return found


def _micro(target: NDArray[np.uint8], score: NDArray[np.float32]) -> dict[str, float]:
    """AUROC and AUPRC over all pairs of record and label together."""
    flat = target.ravel(), score.ravel()
    auroc, auprc = TieBlocks.from_scores(*flat).curves(np.ones(target.size))
    return {"auroc": auroc, "auprc": auprc}


def _find_undefined(predictions: Predictions) -> dict[str, str]:
    positive = predictions.target.sum(axis=0, dtype=np.int64)
    reasons = {}
    for name, count in zip(predictions.vocabulary.names, positive, strict=True):
        if count == 0:
            reasons[name] = "no positive record in the evaluation set"
        elif count == len(predictions.target):
            reasons[name] = "no negative record in the evaluation set"
    return reasons
