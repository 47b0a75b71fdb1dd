"""Metrics with intervals, from two arrays or from a checkpoint's predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecg_assets.evaluation.leakage import StageOverlap
from ecg_assets.evaluation.regression import evaluate_numbers
from ecg_assets.evaluation.result import (
    NO_NEGATIVE,
    NO_POSITIVE,
    NO_RECORD,
    EvaluationResult,
    tabulate_metrics,
)
from ecg_assets.evaluation.sets import EvaluationSet, Relation
from ecg_assets.evaluation.thresholds import THRESHOLD_RULES, Thresholds, threshold_table
from ecg_assets.known import NOT_MEASURED, is_known, is_positive
from ecg_assets.labels.vocabulary import require_same_labels
from ecg_assets.metrics.calibration import reliability_table
from ecg_assets.metrics.intervals import (
    LEAST_PATIENTS,
    bootstrap_by_patient,
    explain_missing_interval,
)
from ecg_assets.metrics.metrics import METRICS, SUMMARIES
from ecg_assets.models.predictions import Predictions, ValidationPredictions

# Labels and summary rows of one evaluation, those that cannot be evaluated left out by name.


@dataclass(frozen=True)
class DescribedLabels:
    """What an evaluation found.

    Attributes
    ----------
    labels
        One row a label: label, n (recordings of which it is known), n_pos, prevalence, threshold,
        each metric with ``_low`` and ``_high``; and where some are not known, n_patients.
    summaries
        ``macro``, ``weighted``, ``micro``: metric to value, ``_low`` and ``_high``.
    undefined
        Label to the reason why it has no AUROC.
    """

    labels: pd.DataFrame
    summaries: dict[str, dict[str, float]]
    undefined: dict[str, str]


def describe_with_intervals(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    names: tuple[str, ...],
    thresholds: NDArray[np.float64],
    subject_ids: NDArray[Any],
    *,
    left_out: Mapping[str, str],
    n_resamples: int,
    seed: int,
    least_patients: int = LEAST_PATIENTS,
) -> DescribedLabels:
    """Compute values and intervals of each label and of the summary rows.

    Parameters
    ----------
    target, score
        0 or 1 or `NOT_MEASURED`, and probabilities, ``(record, label)``; NaN only in labels left
        out.
    left_out
        Label to the reason why it cannot be evaluated: it has no number and takes no part
        in a summary.
    """
    kept = np.array([k for k, name in enumerate(names) if name not in left_out], np.intp)
    found = bootstrap_by_patient(
        target[:, kept],
        score[:, kept],
        thresholds[kept],
        subject_ids,
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
        is_pooled=True,
        least_patients=least_patients,
    )
    ends = {"": found.values, "_low": found.low, "_high": found.high}
    labels = pd.DataFrame({"label": list(names)})
    labels["n"] = is_known(target).sum(axis=0, dtype=np.int64)
    labels["n_pos"] = is_positive(target).sum(axis=0, dtype=np.int64)
    labels["prevalence"] = labels["n_pos"] / labels["n"].where(labels["n"] > 0)
    labels["threshold"] = thresholds
    if not is_known(target).all():
        labels["n_patients"] = count_known_patients(target, subject_ids)
    columns = [*METRICS, *(metric + end for metric in METRICS for end in ("_low", "_high"))]
    labels[columns] = np.nan
    for end, values in ends.items():
        labels.loc[kept, [metric + end for metric in METRICS]] = values[: len(kept)]
    is_left_out = labels["label"].isin(list(left_out))
    counts = [name for name in ("n", "n_pos", "n_patients") if name in labels]
    labels.loc[is_left_out, counts] = 0
    labels.loc[is_left_out, "prevalence"] = np.nan
    summaries = {
        name: {
            metric + end: float(values[row, column])
            for column, metric in enumerate(METRICS)
            for end, values in ends.items()
        }
        for row, name in enumerate(SUMMARIES, start=len(kept))
    }
    reasons = {**_one_sided(labels[~is_left_out]), **left_out}
    undefined = {name: reasons[name] for name in names if name in reasons}
    return DescribedLabels(labels, summaries, undefined)


def count_known_patients(target: NDArray[Any], subject_ids: NDArray[Any]) -> list[int]:
    """Count the patients of whom each label is known, ``(record, label)`` to ``(label,)``."""
    return [len(np.unique(subject_ids[known])) for known in is_known(target).T]


def _one_sided(labels: pd.DataFrame) -> dict[str, str]:
    reasons = {}
    for name, n, n_pos in zip(labels["label"], labels["n"], labels["n_pos"], strict=True):
        if n == 0:
            reasons[name] = NO_RECORD
        elif n_pos == 0:
            reasons[name] = NO_POSITIVE
        elif n_pos == n:
            reasons[name] = NO_NEGATIVE
    return reasons


def evaluate(  # noqa: PLR0917 (called from a REPL, by position)
    scores: ArrayLike,
    labels: ArrayLike,
    label_names: Sequence[str],
    groups: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
    *,
    thresholds: Thresholds | None = None,
    least_patients: int = LEAST_PATIENTS,
) -> pd.DataFrame:
    """Compute each label's metrics, and macro, weighted and micro ones, with 95 % intervals.

    Parameters
    ----------
    scores
        Probabilities from 0 to 1, ``(record, label)``. A label with a NaN is undefined.
    labels
        0 or 1, ``(record, label)``, and NaN where nobody looked: such a record counts in the other
        labels alone. Columns of DataFrames are found by their names; two DataFrames must have one
        index.
    label_names
        Distinct names of the columns.
    groups
        Patient of each record, ``(record,)``: a patient's records are resampled together.
        By default each record counts as a patient of its own.
    replicates, seed
        Of the bootstrap; 0 replicates give values without intervals.
    thresholds
        As `Thresholds.from_validation` chose them; without, the metrics that need one are
        undefined. They cannot be chosen here, on the evaluated records.
    least_patients
        Of fewer nothing has an interval, however many replicates there are.

    Returns
    -------
    DataFrame
        Columns label, metric, value, low, high, n, n_pos, undefined: what is undefined
        about the row and why, else None. Same arguments give the same bytes.

    Raises
    ------
    ValueError
        When shapes, columns or indices do not fit, a label is not 0 or 1, a score is not from
        0 to 1, a name comes twice, or a record has no group.
    """
    _require_same_index(scores, labels)
    score, target = _require_matrices(
        _in_order("scores", scores, label_names), _in_order("labels", labels, label_names)
    )
    names = _require_names(label_names, score.shape[1])
    patients = np.arange(len(score)) if groups is None else _require_groups(groups, len(score))
    if replicates < 0:
        raise ValueError(f"replicates is {replicates}; expected 0 or more.")
    chosen = np.full(len(names), np.nan) if thresholds is None else thresholds.values
    if chosen.shape != (len(names),):
        raise ValueError(f"thresholds are of {len(chosen)} labels; expected {len(names)}.")
    n_missing = np.isnan(score).sum(axis=0)
    left_out = {
        name: f"{count} of {len(score)} scores are NaN"
        for name, count in zip(names, n_missing, strict=True)
        if count
    }
    found = describe_with_intervals(
        target,
        score,
        names,
        chosen,
        patients,
        left_out=left_out,
        n_resamples=replicates,
        seed=seed,
        least_patients=least_patients,
    )
    why = explain_missing_interval(replicates, len(np.unique(patients)), least_patients)
    return tabulate_metrics(found.labels, found.summaries, found.undefined, why)


def _require_same_index(scores: ArrayLike, labels: ArrayLike) -> None:
    if (
        isinstance(scores, pd.DataFrame)
        and isinstance(labels, pd.DataFrame)
        and not scores.index.equals(labels.index)
    ):
        raise ValueError(
            "scores and labels are DataFrames with different indices; expected the same records "
            "in the same order: labels.loc[scores.index]."
        )


def _in_order(what: str, values: ArrayLike, label_names: Sequence[str]) -> ArrayLike:
    """Put the columns of a DataFrame in the order of the names."""
    if not isinstance(values, pd.DataFrame):
        return values
    names, columns = list(label_names), list(values.columns)
    if len(columns) != len(names) or set(columns) != set(names):
        raise ValueError(f"{what} has columns {columns}; expected those of label_names, {names}.")
    return values[names]


def _require_matrices(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.floating[Any]], NDArray[np.uint8]]:
    score, target = np.asarray(scores), np.asarray(labels)
    if not np.issubdtype(score.dtype, np.floating):
        score = score.astype(np.float64)
    if score.ndim != 2 or score.shape != target.shape:
        raise ValueError(
            f"scores have shape {score.shape} and labels {target.shape}; "
            "expected the same shape (record, label) of both."
        )
    target = np.where(pd.isna(target), np.uint8(NOT_MEASURED), target)
    if not np.isin(target, (0, 1, NOT_MEASURED)).all():
        wrong = np.unique(target[~np.isin(target, (0, 1, NOT_MEASURED))])[:5].tolist()
        raise ValueError(f"labels hold {wrong}; expected 0 or 1, or NaN where not known.")
    outside = (score < 0) | (score > 1)
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} scores are outside 0 to 1 (from {np.nanmin(score):g} to "
            f"{np.nanmax(score):g}); expected probabilities: apply the sigmoid first."
        )
    return score, target.astype(np.uint8)


def _require_names(label_names: Sequence[str], n_labels: int) -> tuple[str, ...]:
    names = tuple(label_names)
    if len(names) != n_labels or len(set(names)) != n_labels:
        raise ValueError(
            f"label_names are {len(names)} names, {len(set(names))} of them distinct; "
            f"expected {n_labels} distinct names, one a column of scores."
        )
    return names


def _require_groups(groups: ArrayLike, n_records: int) -> NDArray[Any]:
    patients = np.asarray(groups)
    if patients.shape != (n_records,):
        raise ValueError(
            f"groups have shape {patients.shape}; expected ({n_records},), a patient a record."
        )
    if n_missing := int(pd.Series(groups).isna().sum()):
        raise ValueError(
            f"{n_missing} of {n_records} groups are missing; expected a patient a record: leave "
            "such records out, or give each a group of its own."
        )
    return patients


# Predictions to a result: thresholds from validation, metrics and intervals on the set.


def evaluate_checkpoint(
    validation: ValidationPredictions,
    predictions: Predictions,
    *,
    checkpoint: str,
    evaluation_set: EvaluationSet,
    signal_spec: Mapping[str, Any],
    lineage: Mapping[str, str],
    relation: Relation = Relation.UNKNOWN,
    seen_in_training: Sequence[StageOverlap] = (),
    rule: str = "youden",
    n_resamples: int = 1000,
    seed: int = 0,
    unmapped: Mapping[str, str] | None = None,
    least_patients: int = LEAST_PATIENTS,
) -> EvaluationResult:
    """Evaluate a checkpoint's predictions; of numbers as `evaluate_numbers` does.

    Parameters
    ----------
    validation
        Predictions of the checkpoint's own validation split: thresholds come from here alone.
    predictions
        Predictions of the set to evaluate on.
    checkpoint, signal_spec, lineage
        What is evaluated, made from what; they are copied to the result.
    evaluation_set
        What it is evaluated on; its content is that of `predictions`.
    relation, seen_in_training
        What the set is to the checkpoint, and what its trainings saw of the set's patients.
    rule
        Threshold rule.
    n_resamples, seed
        Of the bootstrap over patients.
    unmapped
        Label to the reason why the set cannot express it: such a label has no numbers,
        whatever its column of targets holds.
    least_patients
        Of fewer nothing has an interval.

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
    if predictions.vocabulary.is_continuous:
        return evaluate_numbers(
            validation,
            predictions,
            checkpoint=checkpoint,
            evaluation_set=evaluation_set,
            signal_spec=signal_spec,
            lineage=lineage,
            relation=relation,
            seen_in_training=[found.to_json() for found in seen_in_training],
            n_resamples=n_resamples,
            seed=seed,
            least_patients=least_patients,
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
        least_patients=least_patients,
    )
    by_rule = threshold_table(predictions, list(chosen.values()))
    reliability = reliability_table(names, predictions.target, predictions.score)
    return EvaluationResult(
        checkpoint=checkpoint,
        evaluation_set=evaluation_set.of(predictions, left_out),
        relation=relation,
        seen_in_training=[found.to_json() for found in seen_in_training],
        made_with=dict(predictions.made_with),
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
