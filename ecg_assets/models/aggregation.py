"""Probabilities of a recording's segments to one probability a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.labels.label_vocabulary import LabelVocabulary


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
