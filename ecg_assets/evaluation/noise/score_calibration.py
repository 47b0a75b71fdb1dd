"""A model's scores as probabilities, by what the validation split says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ecg_assets.evaluation.calibration import logit_of, require_validation
from ecg_assets.models.predictions import ValidationPredictions

MIN_EXAMPLES = 3
"""A label needs so many positive and negative validation recordings to be calibrated."""

MIN_AUROC = 0.65
"""A model that tells a label worse than that on validation cannot contest it.

The bar is low, since wrong labels in the validation split lower the AUROC.
"""


@dataclass(frozen=True)
class ScoreCalibration:
    """A logistic curve a label, from score to probability.

    Attributes
    ----------
    slope, intercept
        Of the label's log odds over the score's, float64 ``(label,)``; NaN for a label that
        the validation split says too little about.
    reasons
        Position of each such label, and why.
    """

    slope: NDArray[np.float64]
    intercept: NDArray[np.float64]
    reasons: dict[int, str]

    @classmethod
    def from_validation(cls, validation: ValidationPredictions) -> ScoreCalibration:
        """Fit each label's curve by Platt's method on the validation split alone.

        Its targets are (n⁺ + 1) / (n⁺ + 2) and 1 / (n⁻ + 2) instead of 1 and 0, so that a
        perfect separation gives no certainty (Platt 1999, Probabilistic outputs for support
        vector machines).

        Raises
        ------
        TypeError
            When given predictions that are not of a validation split.
        """
        require_validation(validation)
        n_labels = len(validation.vocabulary)
        slope, intercept = np.full(n_labels, np.nan), np.full(n_labels, np.nan)
        reasons = {}
        for label in range(n_labels):
            target, score = validation.target[:, label], validation.score[:, label]
            reason = _find_reason_against(target, score)
            if reason:
                reasons[label] = reason
            else:
                slope[label], intercept[label] = _fit(target, score)
        return cls(slope, intercept, reasons)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Which labels have a curve, ``(label,)``."""
        return np.isfinite(self.slope)

    def log_odds(self, score: NDArray[np.float32]) -> NDArray[np.float64]:
        """Give each label's calibrated log odds, ``(recording, label)``; NaN without a curve."""
        return self.slope * logit_of(score) + self.intercept


def _find_reason_against(target: NDArray[np.uint8], score: NDArray[np.float32]) -> str:
    n_positive = int(target.sum())
    n_negative = len(target) - n_positive
    if min(n_positive, n_negative) < MIN_EXAMPLES:
        return (
            f"{n_positive} positive and {n_negative} negative validation recordings; "
            f"{MIN_EXAMPLES} of each are needed"
        )
    auroc = float(roc_auc_score(target, score))
    if auroc < MIN_AUROC:
        return f"AUROC of {auroc:.3f} on validation is below {MIN_AUROC}"
    return ""


def _fit(target: NDArray[np.uint8], score: NDArray[np.float32]) -> tuple[float, float]:
    n_positive = int(target.sum())
    n_negative = len(target) - n_positive
    positive, negative = (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2)
    soft = np.where(target == 1, positive, negative)
    # A soft target is a recording that is positive with one weight and negative with the rest.
    twice = np.concatenate([logit_of(score)] * 2)[:, None]
    classes = np.repeat([1, 0], len(score))
    model = LogisticRegression(C=np.inf, max_iter=1000)
    model.fit(twice, classes, sample_weight=np.concatenate([soft, 1 - soft]))
    return float(model.coef_[0, 0]), float(model.intercept_[0])
