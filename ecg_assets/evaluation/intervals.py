"""95 % intervals by a bootstrap that resamples patients, not recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation.metrics import METRICS, describe_ranked
from ecg_assets.evaluation.weighted_ranks import TieBlocks

MIN_VALID_SHARE = 0.5
"""An interval needs a defined value in at least this share of the resamples."""


@dataclass(frozen=True)
class BootstrapIntervals:
    """Percentile intervals of each metric.

    Attributes
    ----------
    low, high
        2.5 and 97.5 percentile, float64 ``(label + 1, metric)``; the last row is the
        macro mean over the labels that are defined in the data. NaN where undefined.
    n_resamples
        Resamples drawn.
    n_undefined
        Resamples in which a metric was undefined, int64, of the same shape.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n_resamples: int
    n_undefined: NDArray[np.int64]


def bootstrap_by_patient(
    target: NDArray[np.uint8],
    score: NDArray[np.float32],
    thresholds: NDArray[np.float64],
    subject_ids: NDArray[np.str_],
    *,
    n_resamples: int,
    generator: np.random.Generator,
) -> BootstrapIntervals:
    """Draw patients with replacement; a patient's recordings move together.

    Parameters
    ----------
    target, score
        0 or 1, and probabilities, ``(record, label)``.
    thresholds
        ``(label,)``.
    subject_ids
        Patient of each record.
    """
    patients, of_record = np.unique(subject_ids, return_inverse=True)
    blocks = [TieBlocks.from_scores(target[:, k], score[:, k]) for k in range(target.shape[1])]
    share = np.full(len(patients), 1 / len(patients))
    defined = np.isfinite(describe_ranked(blocks, target, score, thresholds, np.ones(len(target))))
    draws = np.empty((n_resamples, target.shape[1] + 1, len(METRICS)))
    for draw in draws:
        counts = generator.multinomial(len(patients), share)
        weight = counts[of_record].astype(np.float64)
        draw[:-1] = describe_ranked(blocks, target, score, thresholds, weight)
        draw[-1] = macro_mean(draw[:-1], defined)
    undefined = np.isnan(draws).sum(axis=0)
    enough = undefined <= (1 - MIN_VALID_SHARE) * n_resamples
    borders = np.full((2, *enough.shape), np.nan)
    if n_resamples:
        borders[:, enough] = np.nanpercentile(draws[:, enough], [2.5, 97.5], axis=0)
    return BootstrapIntervals(borders[0], borders[1], n_resamples, undefined)


def macro_mean(values: NDArray[np.float64], defined: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean over the labels that are defined in the data, ``(metric,)``.

    NaN in a resample in which one of them is not defined: else the mean would be over
    other labels than the point value.
    """
    picked = np.where(defined, values, 0.0)
    count = defined.sum(axis=0)
    mean: NDArray[np.float64] = np.full(len(count), np.nan)
    np.divide(picked.sum(axis=0), count, out=mean, where=count > 0)
    return mean
