"""Logits to probabilities: each label by itself, or one out of all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

EXCLUSIVE = "single_label_classification"
"""transformers' ``problem_type`` of a model whose labels exclude one another."""


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
