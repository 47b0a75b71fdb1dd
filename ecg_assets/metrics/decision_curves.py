"""Would acting on a score do more good than harm: net benefit over thresholds.

Vickers & Elkin 2006, https://doi.org/10.1177/0272989X06295361.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecg_assets.known import is_known
from ecg_assets.metrics.sums import ratio

THRESHOLDS = np.arange(1, 100) / 100
"""Probabilities at which one would act: 0.01 to 0.99."""


def net_benefit(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    thresholds: ArrayLike = THRESHOLDS,
    weight: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Net benefit of acting where the score is a threshold or above.

    True positives ÷ n − false positives ÷ n × t ÷ (1 − t): in units of true positives a recording,
    where a threshold t says that one true positive is worth (1 − t) ÷ t false ones. It takes
    scores at their word, so it falls where they are not calibrated.

    Parameters
    ----------
    target
        0 or 1, and `NOT_MEASURED`, which does not count; ``(record,)``.
    score
        Probabilities; ``(record,)``. NaN makes all undefined.
    thresholds
        Above 0 and below 1, ascending; ``(threshold,)``.
    weight
        How often each recording counts, ``(record,)``; by default once.

    Returns
    -------
    NDArray
        ``(threshold,)``; NaN where no known recording counts, or a score is NaN.

    Raises
    ------
    ValueError
        When thresholds are not ascending between 0 and 1.

    Examples
    --------
    >>> score = np.array([0.9, 0.6, 0.4, 0.1])
    >>> net_benefit(np.array([1, 0, 1, 0], np.uint8), score, [0.2, 0.5]).tolist()
    [0.4375, 0.0]
    """
    known = is_known(target)
    counted = np.ones(len(target)) if weight is None else np.asarray(weight, np.float64)
    cells = count_called(score[known], thresholds)
    return net_benefit_of_called(cells, target[known], counted[known], thresholds)


def net_benefit_of_all(prevalence: float, thresholds: ArrayLike = THRESHOLDS) -> NDArray[Any]:
    """Net benefit of acting on every recording, ``(threshold,)``; acting on none has 0.

    >>> net_benefit_of_all(0.2, [0.2, 0.5]).round(6).tolist()
    [0.0, -0.6]
    """
    return prevalence - (1 - prevalence) * _odds(thresholds)


def count_called(
    score: NDArray[np.floating[Any]], thresholds: ArrayLike = THRESHOLDS
) -> NDArray[np.intp]:
    """Count the thresholds that each score reaches, compared in double precision; −1 of a NaN.

    >>> count_called(np.array([0.1, 0.5, 0.7, np.nan]), [0.2, 0.5]).tolist()
    [0, 2, 2, -1]
    """
    values = score.astype(np.float64)
    reached = np.searchsorted(_require_thresholds(thresholds), values, side="right")
    return np.where(np.isnan(values), -1, reached)


def net_benefit_of_called(
    called: NDArray[np.intp],
    target: NDArray[np.uint8],
    weight: NDArray[np.float64],
    thresholds: ArrayLike = THRESHOLDS,
) -> NDArray[np.float64]:
    """Net benefit, ``(threshold,)``, of what `count_called` counted, as often as one likes.

    Parameters
    ----------
    called
        Of each recording, ``(record,)``; of the same thresholds.
    target, weight
        0 or 1, and how often the recording counts, ``(record,)``.
    """
    odds = _odds(thresholds)
    if (called < 0).any():
        return np.full(len(odds), np.nan)
    found, all_called = (
        np.bincount(called, one, len(odds) + 1)[::-1].cumsum()[::-1][1:]
        for one in (weight * target, weight)
    )
    return ratio(found - (all_called - found) * odds, np.full(len(odds), weight.sum()))


def _odds(thresholds: ArrayLike) -> NDArray[np.float64]:
    values = _require_thresholds(thresholds)
    return values / (1 - values)


def _require_thresholds(thresholds: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(thresholds, np.float64)
    if values.ndim != 1 or not ((values > 0) & (values < 1)).all() or (np.diff(values) <= 0).any():
        raise ValueError(
            f"thresholds are {thresholds!r}; expected numbers above 0 and below 1, ascending."
        )
    return values
