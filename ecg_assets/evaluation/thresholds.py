"""Decision thresholds, chosen on the validation split alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.known import keep_known
from ecg_assets.metrics.metrics import at_threshold, combine_metrics, places_of
from ecg_assets.metrics.sums import sum_by_patient
from ecg_assets.models.predictions import Predictions, ValidationPredictions

SENSITIVITY_TARGET = 0.9


@dataclass(frozen=True)
class Thresholds:
    """A threshold a label, with the rule that chose it.

    Attributes
    ----------
    values
        float64 ``(label,)``; NaN where the validation split has one class only, among the
        recordings of which the label is known.
    rule
        Name of the rule.
    n_records
        Recordings of the validation split.
    """

    values: NDArray[np.float64]
    rule: str
    n_records: int

    @classmethod
    def from_validation(cls, validation: ValidationPredictions, rule: str = "youden") -> Thresholds:
        """Choose thresholds from the predictions that a checkpoint carries of its validation split.

        Parameters
        ----------
        validation
            Predictions of the validation split; no others are taken.
        rule
            ``youden`` (largest sensitivity + specificity), ``max-f1``, or
            ``fixed-sensitivity`` (the highest threshold with a sensitivity of 0.9).

        Raises
        ------
        TypeError
            When given predictions that are not of a validation split.
        """
        require_validation(validation)
        if rule not in THRESHOLD_RULES:
            raise ValueError(f"Threshold rule is {rule!r}; allowed: {sorted(THRESHOLD_RULES)}.")
        values = np.full(len(validation.vocabulary), np.nan)
        for label in range(len(values)):
            target, (score,) = keep_known(validation.target[:, label], validation.score[:, label])
            if 0 < target.sum() < len(target):
                values[label] = THRESHOLD_RULES[rule].choose(target, score)
        return cls(values, rule, len(validation.record_ids))


def threshold_table(predictions: Predictions, chosen: Sequence[Thresholds]) -> pd.DataFrame:
    """Metrics of each label at the threshold of each rule.

    Parameters
    ----------
    predictions
        Of the evaluated set.
    chosen
        Thresholds, one a rule, as validation gave them.

    Returns
    -------
    DataFrame
        Columns label, rule, threshold, and each metric that needs one.
    """
    names = at_threshold()
    frames = []
    for thresholds in chosen:
        values = _judge(predictions, thresholds.values)
        frame = pd.DataFrame(values[:, places_of(names)], columns=names)
        frame.insert(0, "threshold", thresholds.values)
        frame.insert(0, "rule", thresholds.rule)
        frame.insert(0, "label", list(predictions.vocabulary.names))
        frames.append(frame)
    table = pd.concat(frames)
    return table.sort_index(kind="stable", ignore_index=True)


def _judge(predictions: Predictions, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the metrics that need a threshold, ``(label, metric)``; the others are NaN."""
    pairs = zip(predictions.target.T, predictions.score.T, strict=True)
    known = [keep_known(*columns) for columns in pairs]
    sums = [
        sum_by_patient(target, score, float(cut), np.zeros(len(target), np.intp), 1)
        for (target, (score,)), cut in zip(known, thresholds, strict=True)
    ]
    absent = np.full((len(thresholds), 2), np.nan)
    return combine_metrics(absent, np.concatenate(sums), absent)


def _youden(target: NDArray[np.uint8], score: NDArray[np.float32]) -> float:
    from sklearn.metrics import roc_curve

    false_positive, true_positive, thresholds = roc_curve(target, score)
    return _finite(float(thresholds[np.argmax(true_positive - false_positive)]), score)


def _max_f1(target: NDArray[np.uint8], score: NDArray[np.float32]) -> float:
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(target, score)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return float(thresholds[np.argmax(f1[:-1])])


def _fixed_sensitivity(target: NDArray[np.uint8], score: NDArray[np.float32]) -> float:
    from sklearn.metrics import roc_curve

    _, true_positive, thresholds = roc_curve(target, score, drop_intermediate=False)
    return _finite(float(thresholds[np.argmax(true_positive >= SENSITIVITY_TARGET)]), score)


def _finite(threshold: float, score: NDArray[np.float32]) -> float:
    """scikit-learn's first threshold is infinite: no score reaches it."""
    return threshold if np.isfinite(threshold) else float(np.nextafter(score.max(), np.float32(2)))


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is chosen from targets and scores of both classes, and that in words."""

    meaning: str
    choose: Callable[[NDArray[np.uint8], NDArray[np.float32]], float]


THRESHOLD_RULES = {
    "youden": ThresholdRule("largest sensitivity + specificity", _youden),
    "max-f1": ThresholdRule("largest F1", _max_f1),
    "fixed-sensitivity": ThresholdRule(
        f"the highest threshold with a sensitivity of at least {SENSITIVITY_TARGET}",
        _fixed_sensitivity,
    ),
}


def require_validation(predictions: ValidationPredictions) -> None:
    """Refuse predictions that are not typed as those of a validation split."""
    if not isinstance(predictions, ValidationPredictions):
        raise TypeError(
            f"Expected ValidationPredictions, found {type(predictions).__name__}. Thresholds and "
            "calibration come from the validation split that a checkpoint carries "
            "(read_validation_predictions), never from the evaluated set."
        )
