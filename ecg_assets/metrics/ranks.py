"""AUROC of one set of scores; AUROC and average precision of many resamples, from one ranking.

The records are ranked once. A resample is a vector of whole numbers, how often each patient
was drawn; gathered in the order of the ranking, its running sum at the borders of tied
scores is all that both metrics need. Sums of whole numbers are exact, so neither the
number of resamples in a block nor the order of summation changes a result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.known import keep_known

_MOST_CELLS = 2**17
"""Numbers in a block of resamples: one megabyte, the size of a core's own cache."""


def auroc(target: NDArray[np.uint8], score: NDArray[np.floating[Any]]) -> float:
    """AUROC of one label, ``(record,)``; NaN where the target has one class only.

    >>> auroc(np.array([0, 1], np.uint8), np.array([0.2, 0.3]))
    1.0
    >>> auroc(np.array([1, 1], np.uint8), np.array([0.2, 0.3]))
    nan
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(target, score)) if 0 < target.sum() < len(target) else np.nan


def label_aurocs(
    target: NDArray[np.uint8], score: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """`auroc` of each label over its known targets, ``(record, label)`` to ``(label,)``."""
    pairs = (keep_known(*columns) for columns in zip(target.T, score.T, strict=True))
    return np.array([auroc(known, scored) for known, (scored,) in pairs])


@dataclass(frozen=True)
class TieBlocks:
    """Records of one label from the highest score down, cut where the score changes.

    Attributes
    ----------
    unit
        What is drawn (record or patient) at each place, intp ``(place,)``.
    positive
        Places of the positives, ascending.
    top, bottom
        For each block of equal scores that holds a positive: its first place, and one past
        its last.
    n_found
        Positives down to the end of that block.
    """

    unit: NDArray[np.intp]
    positive: NDArray[np.intp]
    top: NDArray[np.intp]
    bottom: NDArray[np.intp]
    n_found: NDArray[np.intp]

    @classmethod
    def from_scores(
        cls,
        target: NDArray[np.uint8],
        score: NDArray[np.floating[Any]],
        unit: NDArray[np.intp] | None = None,
    ) -> TieBlocks:
        """Rank the scores of one label.

        Parameters
        ----------
        target, score
            0 or 1, and any numbers without NaN, ``(record,)``.
        unit
            What each record moves with, ``(record,)``; by default each record by itself.
        """
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]][: len(ranked)])
        ends = np.r_[starts[1:], len(ranked)][: len(starts)]
        positive = np.flatnonzero(target[order])
        n_found = np.searchsorted(positive, ends)
        holds_positive = np.diff(n_found, prepend=0) > 0
        return cls(
            unit=order if unit is None else unit[order].astype(np.intp),
            positive=positive,
            top=starts[holds_positive],
            bottom=ends[holds_positive],
            n_found=n_found[holds_positive],
        )

    def curves(self, weight: NDArray[np.integer[Any]]) -> tuple[float, float]:
        """AUROC and average precision of one weighting, ``(unit,)``; NaN where undefined."""
        auroc, auprc = self.resample(weight[np.newaxis])[0]
        return float(auroc), float(auprc)

    def resample(self, weights: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """AUROC and average precision of each resample.

        Parameters
        ----------
        weights
            How often each unit was drawn, whole numbers ``(draw, unit)``.

        Returns
        -------
        NDArray
            ``(draw, 2)``; NaN where one class has no weight.
        """
        result = np.full((len(weights), 2), np.nan)
        for chosen in self._blocks_of(weights):
            result[chosen] = self._resample(weights[chosen])
        return result

    def resample_within(
        self, weights: NDArray[np.integer[Any]], capacity: float
    ) -> NDArray[np.float64]:
        """Share of the positives among the highest scores of each resample.

        Parameters
        ----------
        weights
            How often each unit was drawn, whole numbers ``(draw, unit)``.
        capacity
            Share of what was drawn that counts as highest, rounded down to whole numbers. Of equal
            scores at the border each is in with the same probability.

        Returns
        -------
        NDArray
            ``(draw,)``; NaN without a positive.
        """
        result = np.full(len(weights), np.nan)
        for chosen in self._blocks_of(weights):
            hits, _, above, down_to, n_drawn = self._tally(weights[chosen])
            n_left = np.floor(capacity * n_drawn)[:, np.newaxis] - above
            share = np.clip(n_left / np.maximum(down_to - above, 1), 0, 1)
            n_positive = hits.sum(axis=1)
            found = (hits * share).sum(axis=1)
            np.divide(found, n_positive, out=result[chosen], where=n_positive > 0)
        return result

    def _blocks_of(self, weights: NDArray[np.integer[Any]]) -> Iterator[slice]:
        step = max(1, _MOST_CELLS // max(len(self.unit), 1))
        for start in range(0, len(weights), step):
            yield slice(start, start + step)

    def _tally(self, weights: NDArray[np.integer[Any]]) -> tuple[NDArray[np.int64], ...]:
        """Positives in each block and down to its end, all above it and to its end, and all."""
        drawn = weights.astype(np.int64, copy=False).take(self.unit, axis=1)
        called = _running_sum(drawn)
        found = _running_sum(drawn.take(self.positive, axis=1)).take(self.n_found, axis=1)
        above, down_to = called.take(self.top, axis=1), called.take(self.bottom, axis=1)
        hits = found.copy()
        hits[:, 1:] -= found[:, :-1]
        return hits, found, above, down_to, called[:, -1]

    def _resample(self, weights: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        hits, found, above, down_to, n_drawn = self._tally(weights)
        n_positive = hits.sum(axis=1)
        n_negative = n_drawn - n_positive
        # Twice the pairs in which a negative stands above a positive; a tie is half a pair.
        # Positives above positives are in the first sum too: their square, by symmetry.
        lost = (hits * (above + down_to)).sum(axis=1) - n_positive**2
        n_pairs = n_positive * n_negative
        is_defined = n_pairs > 0
        precision = found / np.maximum(down_to, 1)
        result = np.full((len(weights), 2), np.nan)
        np.divide(2 * n_pairs - lost, 2 * n_pairs, out=result[:, 0], where=is_defined)
        area = (hits * precision).sum(axis=1)
        np.divide(area, n_positive, out=result[:, 1], where=is_defined)
        return result


def _running_sum(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of the first k numbers of each row, k from 0."""
    result = np.zeros((numbers.shape[0], numbers.shape[1] + 1), np.int64)
    np.cumsum(numbers, axis=1, out=result[:, 1:])
    return result
