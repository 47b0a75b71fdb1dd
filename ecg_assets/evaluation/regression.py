"""Predictions of numbers to a result: each target's metrics with intervals, and differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation.result import NO_RECORD, EvaluationResult
from ecg_assets.evaluation.sets import EvaluationSet, Relation
from ecg_assets.known import is_known
from ecg_assets.metrics.calibration import RELIABILITY_COLUMNS
from ecg_assets.metrics.intervals import LEAST_PATIENTS
from ecg_assets.metrics.metrics import MACRO, at_threshold, tabulate
from ecg_assets.metrics.regression import NUMBER_METRICS, bootstrap_numbers, compare_numbers
from ecg_assets.models.predictions import Predictions, ValidationPredictions

NO_THRESHOLDS = "none: the targets are numbers"
"""Threshold rule of a result of numbers."""

_ENDS = ("", "_low", "_high")


def evaluate_numbers(
    validation: ValidationPredictions,
    predictions: Predictions,
    *,
    checkpoint: str,
    evaluation_set: EvaluationSet,
    signal_spec: Mapping[str, Any],
    lineage: Mapping[str, str],
    relation: Relation,
    seen_in_training: list[dict[str, Any]],
    n_resamples: int,
    seed: int,
    least_patients: int = LEAST_PATIENTS,
) -> EvaluationResult:
    """Evaluate predictions of numbers, as `evaluate_checkpoint` does those of labels.

    The table of labels has a row a target: ``label``, ``unit``, ``n`` and ``n_patients`` (of whom
    it is measured), ``mean`` and ``deviation`` of the measured values, and each metric of
    `NUMBER_METRICS` with ``_low`` and ``_high``. There are no thresholds and no reliability, and
    of the summaries there is ``macro`` alone: the mean over targets of what has no unit.
    """
    names = predictions.vocabulary.names
    found = bootstrap_numbers(
        predictions.target,
        predictions.score,
        predictions.subject_ids,
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
        least_patients=least_patients,
    )
    ends = dict(zip(_ENDS, (found.values, found.low, found.high), strict=True))
    labels = pd.DataFrame({"label": names, "unit": predictions.vocabulary.units, "n": found.n})
    labels["n_patients"] = found.n_patients
    labels["mean"], labels["deviation"] = _summarize(predictions.target)
    columns = {
        metric + end: values[:-1, column]
        for end, values in ends.items()
        for column, metric in enumerate(NUMBER_METRICS)
    }
    macro = {
        metric + end: float(values[-1, column])
        for column, metric in enumerate(NUMBER_METRICS)
        for end, values in ends.items()
    }
    r2 = columns["r2"]
    reasons = np.where(found.n == 0, NO_RECORD, NUMBER_METRICS["r2"].otherwise).tolist()
    return EvaluationResult(
        checkpoint=checkpoint,
        evaluation_set=evaluation_set.of(predictions),
        relation=relation,
        seen_in_training=seen_in_training,
        made_with=dict(predictions.made_with),
        n_records=len(predictions),
        n_patients=len(np.unique(predictions.subject_ids)),
        signal_spec=dict(signal_spec),
        label_vocabulary=predictions.vocabulary.to_json(),
        threshold_rule=NO_THRESHOLDS,
        n_validation_records=len(validation),
        labels=labels.assign(**columns),
        macro=macro,
        weighted={},
        micro={},
        undefined={name: reasons[place] for place, name in enumerate(names) if np.isnan(r2[place])},
        threshold_table=pd.DataFrame(columns=["label", "rule", "threshold", *at_threshold()]),
        reliability=pd.DataFrame(columns=list(RELIABILITY_COLUMNS)),
        n_resamples=n_resamples,
        seed=seed,
        lineage=dict(lineage),
    )


def _summarize(target: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Mean and deviation of each target's measured values; NaN of none."""
    parts = [column[is_known(column)].astype(np.float64) for column in target.T]
    return (
        [float(part.mean()) if len(part) else np.nan for part in parts],
        [float(part.std()) if len(part) else np.nan for part in parts],
    )


def compare_number_predictions(
    names: tuple[str, ...],
    target: NDArray[Any],
    scores: tuple[NDArray[np.float32], NDArray[np.float32]],
    subject_ids: NDArray[np.str_],
    *,
    n_resamples: int,
    seed: int,
    least_patients: int = LEAST_PATIENTS,
) -> pd.DataFrame:
    """Subtract metrics of numbers, paired by patient.

    Parameters
    ----------
    names
        Of the targets.
    target
        Measured numbers, ``(record, target)``.
    scores
        What the challenger and the champion predicted, of the same shape.
    subject_ids
        Patient of each record.

    Returns
    -------
    DataFrame
        As `ecg_assets.evaluation.comparison.DIFFERENCES`, with each of `NUMBER_METRICS`; ``n_pos``
        is 0.
    """
    found = compare_numbers(
        target,
        scores,
        subject_ids,
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
        least_patients=least_patients,
    )
    return tabulate(
        (*names, MACRO),
        list(NUMBER_METRICS),
        difference=found.values,
        low=found.low,
        high=found.high,
        n=np.append(found.n, len(target))[:, np.newaxis],
        n_pos=0,
    )
