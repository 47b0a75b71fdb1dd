"""Point values of each label's metrics. An undefined one is NaN, never a made-up number."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation.weighted_ranks import TieBlocks

METRICS = (
    "auroc",
    "auprc",
    "f1",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "brier",
)


def describe_labels(
    target: NDArray[np.uint8],
    score: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Compute every metric of every label.

    Parameters
    ----------
    target, score
        0 or 1, and probabilities, ``(record, label)``.
    thresholds
        ``(label,)``; a score at or above it is called positive. NaN: undefined.
    weight
        How often each record counts, ``(record,)``; once by default.

    Returns
    -------
    NDArray
        ``(label, metric)`` in the order of `METRICS`.
    """
    weight = np.ones(len(target)) if weight is None else weight
    blocks = [TieBlocks.from_scores(target[:, k], score[:, k]) for k in range(target.shape[1])]
    return describe_ranked(blocks, target, score, thresholds, weight)


def describe_ranked(
    blocks: list[TieBlocks],
    target: NDArray[np.uint8],
    score: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    weight: NDArray[np.float64],
) -> NDArray[np.float64]:
    """`describe_labels` with the ranking done before."""
    result = np.full((target.shape[1], len(METRICS)), np.nan)
    result[:, :2] = [block.curves(weight) for block in blocks]
    called = score >= thresholds
    hit = weight @ (called & (target == 1))
    n_called, n_positive, total = weight @ called, weight @ target, weight.sum()
    rejected = total - n_positive - n_called + hit
    result[:, 2] = _ratio(2 * hit, n_called + n_positive)
    result[:, 3] = _ratio(hit, n_positive)
    result[:, 4] = _ratio(rejected, total - n_positive)
    result[:, 5] = _ratio(hit, n_called)
    result[:, 6] = _ratio(rejected, total - n_called)
    result[np.isnan(thresholds), 2:7] = np.nan
    result[n_positive == 0, 2] = np.nan
    result[:, 7] = _ratio(weight @ np.square(score.astype(np.float64) - target), total)
    return result


def label_table(
    names: tuple[str, ...],
    target: NDArray[np.uint8],
    thresholds: NDArray[np.float64],
    values: NDArray[np.float64],
) -> pd.DataFrame:
    """Table of all labels: counts, prevalence, threshold, metrics."""
    table = pd.DataFrame({"label": list(names)})
    table["n"] = len(target)
    table["n_pos"] = target.sum(axis=0, dtype=np.int64)
    table["prevalence"] = table["n_pos"] / max(len(target), 1)
    table["threshold"] = thresholds
    table[list(METRICS)] = values
    return table


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64] | float) -> NDArray[np.float64]:
    whole = np.broadcast_to(np.asarray(whole, dtype=np.float64), part.shape)
    result: NDArray[np.float64] = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
