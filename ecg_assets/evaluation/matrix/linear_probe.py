"""A logistic regression a label on frozen features: what an encoder knows without training it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from ecg_assets.frozen_model import FrozenModel, Number
from ecg_assets.known import NOT_MEASURED
from ecg_assets.metrics.ranks import auroc

UNCHOSEN = 1e-2
"""The inverse strength that is taken where the validation split has one class only."""
_MAX_ITERATIONS = 1000


class ProbeGrid(FrozenModel):
    """What a label's regression is chosen from, on the validation split."""

    scaled: Annotated[tuple[bool, ...], Field(min_length=1)] = Field(
        default=(True,), description="Features standardized by the train split, or as they are."
    )
    strengths: Annotated[tuple[Number, ...], Field(min_length=1)] = Field(
        default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0), description="Inverse strengths of the penalty."
    )
    class_weights: Annotated[tuple[Literal["balanced", "none"], ...], Field(min_length=1)] = Field(
        default=("balanced",),
        description="balanced: positives weigh as much as negatives; none: each recording as one.",
    )
    chosen_by: Literal["auroc", "log-loss"] = Field(
        default="auroc", description="Of the validation split; of equal ones the first is taken."
    )


DEFAULT_GRID = ProbeGrid()


@dataclass(frozen=True)
class LinearProbe:
    """Fitted logistic regressions.

    Attributes
    ----------
    weights, intercepts
        Of the features as they are, ``(label, feature)`` and ``(label,)``.
    choices
        A row a label: ``label``, ``inverse_strength`` of the penalty, ``valid_auroc`` (NaN where
        the validation split has one class only, so that nothing could be chosen) and
        ``has_converged``; where the grid has several, also ``is_scaled``, ``class_weight`` and
        ``valid_log_loss``.
    """

    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    choices: pd.DataFrame

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute probabilities ``(record, label)`` of features ``(record, feature)``.

        Of balanced classes, each label's positives weigh as much as its negatives.
        """
        logits = features.astype(np.float64) @ self.weights.T + self.intercepts
        return np.asarray(expit(logits), np.float32)


def fit_probe(
    train: NDArray[np.float32],
    train_target: NDArray[np.uint8],
    valid: NDArray[np.float32],
    valid_target: NDArray[np.uint8],
    names: tuple[str, ...],
    *,
    grid: ProbeGrid | None = None,
) -> LinearProbe:
    """Fit each label by itself, and choose what the grid leaves open on the validation split.

    Parameters
    ----------
    train, valid
        Features, ``(record, feature)``. Their scale is the train split's.
    train_target, valid_target
        0 or 1 or `NOT_MEASURED`, ``(record, label)``; both of the first occur in each column of
        train. A label is fitted on the recordings of which it is known.
    names
        Of the labels.
    grid
        `ProbeGrid()` by default: standardized features, balanced classes, five penalties of which
        the one with the best AUROC is taken, of equal ones the strongest.

    Returns
    -------
    LinearProbe
        Same arguments give the same numbers.

    Raises
    ------
    ValueError
        When a label has one class only in train.
    """
    from sklearn.preprocessing import StandardScaler

    grid = grid or DEFAULT_GRID
    scaler = StandardScaler().fit(train)
    scaled = scaler.transform(train), scaler.transform(valid)
    as_they_are = train.astype(np.float64), valid.astype(np.float64)
    inputs = {is_scaled: scaled if is_scaled else as_they_are for is_scaled in grid.scaled}
    fitted = []
    for name, target, valid_column in zip(names, train_target.T, valid_target.T, strict=True):
        is_known, is_known_valid = target != NOT_MEASURED, valid_column != NOT_MEASURED
        known, known_valid = target[is_known], valid_column[is_known_valid]
        if not len(known):
            raise ValueError(f"{name} is not known of anything in train; leave the label out.")
        if known.min() == known.max():
            raise ValueError(f"{name} is {known.min()} in all of train; leave the label out.")
        candidates = [
            one
            for is_scaled, (rows, valid_rows) in inputs.items()
            for weight in grid.class_weights
            for one in _fit_label(
                rows[is_known],
                known,
                valid_rows[is_known_valid],
                known_valid,
                grid=grid,
                choice=(is_scaled, weight),
            )
        ]
        fitted.append(_choose(candidates, grid))
    weights = np.array([one.weights for one in fitted], np.float64)
    intercepts = np.array([one.intercept for one in fitted], np.float64)
    is_scaled = np.array([one.is_scaled for one in fitted])[:, np.newaxis]
    mean, scale = np.asarray(scaler.mean_), np.asarray(scaler.scale_)
    weights = np.where(is_scaled, weights / scale, weights)
    shift = np.where(is_scaled[:, 0], weights @ mean, 0.0)
    return LinearProbe(weights, intercepts - shift, _tabulate(names, fitted, grid))


@dataclass(frozen=True)
class _Fitted:
    """One label's regression with one choice of the grid."""

    is_scaled: bool
    class_weight: str
    inverse_strength: float
    valid_auroc: float
    valid_log_loss: float
    has_converged: bool
    weights: NDArray[np.float64]
    intercept: float


def _tabulate(names: tuple[str, ...], fitted: list[_Fitted], grid: ProbeGrid) -> pd.DataFrame:
    columns = ["inverse_strength", "valid_auroc", "has_converged"]
    if grid != DEFAULT_GRID:
        columns += ["is_scaled", "class_weight", "valid_log_loss"]
    found = {column: [getattr(one, column) for one in fitted] for column in columns}
    return pd.DataFrame({"label": names, **found})


def _choose(candidates: list[_Fitted], grid: ProbeGrid) -> _Fitted:
    if grid.chosen_by == "log-loss":
        return min(candidates, key=lambda fitted: fitted.valid_log_loss)
    return max(candidates, key=lambda fitted: fitted.valid_auroc)


def _fit_label(
    train: NDArray[np.float64],
    target: NDArray[np.uint8],
    valid: NDArray[np.float64],
    valid_target: NDArray[np.uint8],
    *,
    grid: ProbeGrid,
    choice: tuple[bool, str],
) -> list[_Fitted]:
    """Fit with each strength, from the strongest penalty on."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    can_choose = len(np.unique(valid_target)) > 1
    is_scaled, class_weight = choice
    model = LogisticRegression(
        class_weight=None if class_weight == "none" else class_weight,
        max_iter=_MAX_ITERATIONS,
        warm_start=True,
        random_state=0,
    )
    candidates = []
    for strength in sorted(grid.strengths) if can_choose else (UNCHOSEN,):
        with warnings.catch_warnings():
            # It is told in the table of choices instead, label by label.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(C=strength).fit(train, target)
        weights, intercept = model.coef_[0].copy(), float(model.intercept_[0])
        logits = valid @ weights + intercept
        loss = log_loss(valid_target, expit(logits), labels=[0, 1]) if len(valid_target) else np.nan
        candidates.append(
            _Fitted(
                is_scaled,
                class_weight,
                strength,
                auroc(valid_target, logits),
                float(loss),
                bool(model.n_iter_[0] < _MAX_ITERATIONS),
                weights,
                intercept,
            )
        )
    return candidates
