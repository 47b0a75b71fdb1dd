"""How well the list of suspicious labels finds wrong ones: labels turned over on purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation.label_noise import TOP_SHARE, ScoreCalibration, suspect_labels
from ecg_assets.models.predictions import Predictions


@dataclass(frozen=True)
class PlantedFlips:
    """What became of the labels that were turned over.

    Attributes
    ----------
    n_planted
        Labels turned over, in all draws together.
    share_in_top
        Share of them among the first `TOP_SHARE` of the list; NaN where none could be planted.
    median_rank_share
        Median of their rank over the length of the list.
    """

    n_planted: int
    share_in_top: float
    median_rank_share: float


def measure_planted_flips(
    calibration: ScoreCalibration,
    predictions: Predictions,
    probability: NDArray[np.float64],
    *,
    seed: int,
    share: float = 0.01,
    n_draws: int = 20,
) -> PlantedFlips:
    """Turn over some labels at random, rank again, and see where they stand.

    The flips are spread evenly over all pairs of recording and judged label, and look as if a
    line had stated them. A list in random order would have 5 % of them in its first 5 %.

    Parameters
    ----------
    calibration, predictions, probability
        As in `suspect_labels`.
    seed
        Of the choice.
    share
        Of the pairs to turn over in each draw; at least one.
    n_draws
        Draws, each on the labels as they were.
    """
    judged = np.flatnonzero(np.broadcast_to(calibration.is_known, predictions.target.shape))
    n_top, n_flips = round(TOP_SHARE * len(judged)), max(round(share * len(judged)), 1)
    if not n_top:
        return PlantedFlips(0, np.nan, np.nan)
    generator = np.random.default_rng(seed)
    ranks = []
    for _ in range(n_draws):
        flips = generator.choice(judged, n_flips, replace=False)
        ranks.append(_rank_flips(calibration, predictions, probability, flips, judged))
    rank = np.concatenate(ranks)
    return PlantedFlips(
        n_planted=len(rank),
        share_in_top=float((rank < n_top).mean()),
        median_rank_share=float(np.median(rank + 1) / len(judged)),
    )


def _rank_flips(
    calibration: ScoreCalibration,
    predictions: Predictions,
    probability: NDArray[np.float64],
    flips: NDArray[np.int64],
    judged: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Turn over these pairs and give each one's place in the list, from 0."""
    target, stated = predictions.target.copy(), probability.copy()
    target.ravel()[flips] ^= 1
    stated.ravel()[flips] = target.ravel()[flips]
    changed = replace(predictions, target=target)
    suspicion = suspect_labels(calibration, changed, stated).ravel()
    place = np.empty(suspicion.size, np.int64)
    place[judged[np.argsort(-suspicion[judged], kind="stable")]] = np.arange(len(judged))
    return place[flips]
