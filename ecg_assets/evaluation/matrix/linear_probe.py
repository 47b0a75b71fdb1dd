"""A logistic regression a label on frozen features: what an encoder knows without training it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from ecg_assets.known import keep_known
from ecg_assets.metrics.ranks import auroc

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the penalty to choose from, the strongest penalty first."""
UNCHOSEN = 1e-2
"""The one that is taken where the validation split has one class only."""
_MAX_ITERATIONS = 1000


@dataclass(frozen=True)
class LinearProbe:
    """Fitted logistic regressions on standardized features.

    Attributes
    ----------
    mean, scale
        Of each feature in the train split, float64 ``(feature,)``.
    weights, intercepts
        ``(label, feature)`` and ``(label,)``.
    choices
        A row a label: ``label``, ``inverse_strength`` of the penalty, ``valid_auroc`` (NaN where
        the validation split has one class only, so that nothing could be chosen) and
        ``has_converged``.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    choices: pd.DataFrame

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute probabilities ``(record, label)`` of features ``(record, feature)``.

        They are of balanced classes: each label's positives weigh as much as its negatives.
        """
        standardized = (features - self.mean) / self.scale
        logits = standardized @ self.weights.T + self.intercepts
        return np.asarray(expit(logits), np.float32)


def fit_probe(
    train: NDArray[np.float32],
    train_target: NDArray[np.uint8],
    valid: NDArray[np.float32],
    valid_target: NDArray[np.uint8],
    names: tuple[str, ...],
) -> LinearProbe:
    """Fit each label by itself, and choose its penalty by the AUROC on the validation split.

    Parameters
    ----------
    train, valid
        Features, ``(record, feature)``. Their scale is the train split's.
    train_target, valid_target
        0 or 1 or `NOT_MEASURED`, ``(record, label)``; both of the first occur in each column of
        train. A label is fitted on the recordings of which it is known.
    names
        Of the labels.

    Returns
    -------
    LinearProbe
        Same arguments give the same numbers. Of equal AUROCs the strongest penalty's is taken.

    Raises
    ------
    ValueError
        When a label has one class only in train.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    scaled_train, scaled_valid = scaler.transform(train), scaler.transform(valid)
    fitted = []
    for name, target, valid_column in zip(names, train_target.T, valid_target.T, strict=True):
        known, (rows,) = keep_known(target, scaled_train)
        if not len(known):
            raise ValueError(f"{name} is not known of anything in train; leave the label out.")
        if known.min() == known.max():
            raise ValueError(f"{name} is {known.min()} in all of train; leave the label out.")
        known_valid, (valid_rows,) = keep_known(valid_column, scaled_valid)
        fitted.append(_fit_label(rows, known, valid_rows, known_valid))
    return LinearProbe(
        np.asarray(scaler.mean_, np.float64),
        np.asarray(scaler.scale_, np.float64),
        np.array([one.weights for one in fitted], np.float64),
        np.array([one.intercept for one in fitted], np.float64),
        pd.DataFrame(
            {
                "label": names,
                "inverse_strength": [one.inverse_strength for one in fitted],
                "valid_auroc": [one.valid_auroc for one in fitted],
                "has_converged": [one.has_converged for one in fitted],
            }
        ),
    )


@dataclass(frozen=True)
class _Fitted:
    """One label's regression with one strength of the penalty."""

    inverse_strength: float
    valid_auroc: float
    has_converged: bool
    weights: NDArray[np.float64]
    intercept: float


def _fit_label(
    train: NDArray[np.float32],
    target: NDArray[np.uint8],
    valid: NDArray[np.float32],
    valid_target: NDArray[np.uint8],
) -> _Fitted:
    """Fit with each strength, from the strongest penalty on, and keep the best on valid."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    can_choose = len(np.unique(valid_target)) > 1
    model = LogisticRegression(
        class_weight="balanced", max_iter=_MAX_ITERATIONS, warm_start=True, random_state=0
    )
    candidates = []
    for strength in STRENGTHS if can_choose else (UNCHOSEN,):
        with warnings.catch_warnings():
            # It is told in the table of choices instead, label by label.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(train, target)
        weights, intercept = model.coef_[0].copy(), float(model.intercept_[0])
        has_converged = bool(model.n_iter_[0] < _MAX_ITERATIONS)
        valid_auroc = auroc(valid_target, valid @ weights)
        candidates.append(_Fitted(strength, valid_auroc, has_converged, weights, intercept))
    return max(candidates, key=lambda fitted: fitted.valid_auroc)
