"""Logits to scores: probabilities, each label by itself or one out of all, or numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from ecg_assets.labels.vocabulary import LabelVocabulary

EXCLUSIVE = "single_label_classification"
"""transformers' ``problem_type`` of a model whose labels exclude one another."""


REGRESSION = "regression"
"""The same of a model that predicts numbers."""

MEAN_SQUARED_ERROR, HUBER = "mean-squared-error", "huber"
"""What a model of numbers minimizes, in standard deviations; Huber's loss bends at one."""


@dataclass(frozen=True)
class Regression:
    """What the outputs of a model of numbers are: standard deviations from their means.

    Attributes
    ----------
    mean, deviation
        Of each target in the training split, in its unit.
    loss
        `MEAN_SQUARED_ERROR` or `HUBER`.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    loss: str = MEAN_SQUARED_ERROR

    @classmethod
    def of(cls, config: Any) -> Regression | None:
        """Read it from a model's configuration; None of a model of labels."""
        if config.problem_type != REGRESSION:
            return None
        return cls(
            tuple(config.target_mean), tuple(config.target_deviation), config.regression_loss
        )

    def to_config(self) -> dict[str, Any]:
        """Fields of a model's configuration, which `of` reads."""
        return {
            "problem_type": REGRESSION,
            "target_mean": list(self.mean),
            "target_deviation": list(self.deviation),
            "regression_loss": self.loss,
        }

    def to_units(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn outputs ``(segment, target)`` into numbers in their units.

        >>> Regression((60.0,), (10.0,)).to_units(np.array([[-1.5]], np.float32)).tolist()
        [[45.0]]
        """
        units = outputs.astype(np.float64) * np.array(self.deviation) + np.array(self.mean)
        return np.asarray(units, np.float32)


def is_exclusive(config: Any) -> bool:
    """Tell whether just one of a model's labels is true at a time."""
    return bool(config.problem_type == EXCLUSIVE)


def to_probabilities(logits: NDArray[np.float32], *, exclusive: bool) -> NDArray[np.float32]:
    """Turn logits ``(segment, label)`` into probabilities from 0 to 1.

    >>> logits = np.zeros((1, 4), np.float32)
    >>> to_probabilities(logits, exclusive=False).tolist()
    [[0.5, 0.5, 0.5, 0.5]]
    >>> to_probabilities(logits, exclusive=True).tolist()
    [[0.25, 0.25, 0.25, 0.25]]
    """
    if not exclusive:
        return np.asarray(expit(logits), np.float32)
    # In float64: rounding in float32 gives more than 1 at times.
    return np.asarray(softmax(logits.astype(np.float64), axis=1), np.float32)


# Probabilities of a recording's segments to one probability a label.


def aggregate_segments(
    probability: NDArray[np.float32],
    record_index: NDArray[np.int64],
    vocabulary: LabelVocabulary,
) -> NDArray[np.float32]:
    """Aggregate by each label's own rule, mean or max, as ECG-FM's inference does.

    Parameters
    ----------
    probability
        Of each segment, float ``(segment, label)``, 0 to 1.
    record_index
        Recording of each segment, integer ``(segment,)``: 0, 0, 1, 1, … without a gap.
    vocabulary
        The labels and their rules.

    Returns
    -------
    NDArray[np.float32]
        ``(record, label)``. Means are taken in float64.

    >>> two = LabelVocabulary(("a", "b"), ("mean", "max"))
    >>> score = np.array([[0.5, 0.5], [0.25, 0.25], [1, 1]], np.float32)
    >>> aggregate_segments(score, np.array([0, 0, 1]), two).tolist()
    [[0.375, 0.5], [1.0, 1.0]]
    """
    if len(record_index) == 0:
        return np.empty((0, len(vocabulary)), np.float32)
    steps = np.diff(record_index)
    if record_index[0] != 0 or ((steps != 0) & (steps != 1)).any():
        raise ValueError("record_index must start at 0 and rise by 0 or 1 from row to row.")
    first = np.flatnonzero(np.diff(record_index, prepend=-1))
    n_segments = np.diff(np.append(first, len(record_index)))
    mean = np.add.reduceat(probability.astype(np.float64), first) / n_segments[:, None]
    maximum = np.maximum.reduceat(probability, first)
    takes_max = np.array(vocabulary.aggregation) == "max"
    return np.where(takes_max, maximum, mean).astype(np.float32)
