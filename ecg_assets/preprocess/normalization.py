"""Normalizations of a signal spec as functions of arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecg_assets.preprocess.signal_steps import Normalization
from ecg_assets.preprocess.z_score import z_score


def normalize(signal_mv: NDArray[np.float64], how: Normalization) -> NDArray[np.float32]:
    """Normalize recordings.

    Parameters
    ----------
    signal_mv
        ``(…, lead, sample)``; NaN stays NaN and counts for nothing that is measured.
    how
        Of what, and to what.

    >>> normalize(np.array([[1.0, 2.0], [3.0, 5.0]]), Normalization(kind="min-max")).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    if how.kind == "none":
        return signal_mv.astype(np.float32)
    if how.scope == "dataset":
        mean, deviation = (np.asarray(one)[:, None] for one in (how.mean, how.deviation))
        return np.asarray((signal_mv - mean) / (deviation + how.epsilon), np.float32)
    # What is measured together stands in one row.
    rows = signal_mv
    if how.scope == "recording":
        rows = signal_mv.reshape(*signal_mv.shape[:-2], -1)
    scaled = z_score(rows, epsilon=how.epsilon) if how.kind == "z-score" else _min_max(rows, how)
    return scaled.reshape(signal_mv.shape)


def _min_max(rows: NDArray[np.float64], how: Normalization) -> NDArray[np.float32]:
    """Scale rows, ``(…, sample)``; a row without any sample stays without."""
    least = np.fmin.reduce(rows, axis=-1, keepdims=True)
    distance = np.fmax.reduce(rows, axis=-1, keepdims=True) - least + how.epsilon
    share = (rows - least) / np.where(distance == 0, 1.0, distance)
    return (share * (how.high - how.low) + how.low).astype(np.float32)
