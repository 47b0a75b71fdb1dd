"""ROC, precision–recall and calibration curves of one label under weights.

Scores are sorted once; each resample is then running sums over the same order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation.calibration import N_BINS, bin_of

GRID = np.linspace(0, 1, 101)
"""Where curves are read off: false positive rates, and recalls."""

_SMALLEST = 1e-9


@dataclass(frozen=True)
class SortedScores:
    """One label's recordings by descending score.

    Attributes
    ----------
    order
        Recordings by descending score, int64 ``(record,)``.
    positive
        Whether each is positive, in that order, float64.
    ends
        Position of the last recording of each distinct score, int64.
    """

    order: NDArray[np.int64]
    positive: NDArray[np.float64]
    ends: NDArray[np.int64]

    @classmethod
    def from_scores(cls, target: NDArray[np.uint8], score: NDArray[np.float32]) -> SortedScores:
        """Sort the scores of one label, ``(record,)``."""
        order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
        return cls(order, target[order].astype(np.float64), ends)

    def roc_and_precision(
        self, weight: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sensitivity at each false positive rate of `GRID`, and precision at each recall.

        Parameters
        ----------
        weight
            How often each recording counts, ``(record,)``.

        Returns
        -------
        tuple
            Two float64 ``(grid,)``; NaN where one class has no weight. Between two
            thresholds sensitivity is linear; precision is that of the first threshold that
            reaches the recall, never a mean of two.
        """
        ordered = weight[self.order]
        found = np.cumsum(ordered * self.positive)[self.ends]
        called = np.cumsum(ordered)[self.ends]
        n_positive, n_negative = found[-1], called[-1] - found[-1]
        if n_positive == 0 or n_negative == 0:
            return np.full(len(GRID), np.nan), np.full(len(GRID), np.nan)
        false_rate = np.append(0, (called - found) / n_negative)
        sensitivity = np.interp(GRID, false_rate, np.append(0, found / n_positive))
        wanted = np.maximum(GRID * n_positive - _SMALLEST, _SMALLEST)
        reached = np.searchsorted(found, wanted)
        return sensitivity, found[reached] / called[reached]


@dataclass(frozen=True)
class ScoreBins:
    """One label's recordings in bins of equal width of the score.

    Attributes
    ----------
    bin_of
        Bin of each recording, int64 ``(record,)``.
    target
        0 or 1, float64 ``(record,)``.
    """

    bin_of: NDArray[np.intp]
    target: NDArray[np.float64]

    @classmethod
    def from_scores(cls, target: NDArray[np.uint8], score: NDArray[np.float32]) -> ScoreBins:
        """Put the scores of one label, ``(record,)``, into the bins of `reliability_table`."""
        return cls(bin_of(score), target.astype(np.float64))

    def share_positive(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of positives in each bin, ``(bin,)``; NaN where a bin has no weight."""
        total = np.bincount(self.bin_of, weight, N_BINS)
        found = np.bincount(self.bin_of, weight * self.target, N_BINS)
        share: NDArray[np.float64] = np.full(N_BINS, np.nan)
        np.divide(found, total, out=share, where=total > 0)
        return share
