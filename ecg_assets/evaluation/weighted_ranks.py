"""AUROC and average precision under integer weights, from blocks of tied scores.

The scores are ranked once; each resample is then two counts and a running sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TieBlocks:
    """Blocks of equal scores of one label, in ascending order.

    Attributes
    ----------
    block
        Block of each record, int64 ``(record,)``.
    positive
        Records that are positive, int64.
    n_blocks
        Number of distinct scores.
    """

    block: NDArray[np.int64]
    positive: NDArray[np.int64]
    n_blocks: int

    @classmethod
    def from_scores(cls, target: NDArray[np.uint8], score: NDArray[np.float32]) -> TieBlocks:
        """Rank the scores of one label."""
        distinct, block = np.unique(score, return_inverse=True)
        return cls(block.astype(np.int64), np.flatnonzero(target), len(distinct))

    def curves(self, weight: NDArray[np.float64]) -> tuple[float, float]:
        """AUROC and average precision, NaN where one class has no weight.

        Parameters
        ----------
        weight
            How often each record counts, ``(record,)``.
        """
        everyone = np.bincount(self.block, weight, self.n_blocks)
        positive = np.bincount(self.block[self.positive], weight[self.positive], self.n_blocks)
        negative = everyone - positive
        n_positive, n_negative = positive.sum(), negative.sum()
        if n_positive == 0 or n_negative == 0:
            return np.nan, np.nan
        below = np.cumsum(negative) - negative
        auroc = np.dot(positive, below + negative / 2) / (n_positive * n_negative)
        found = np.cumsum(positive[::-1])
        called = np.cumsum(everyone[::-1])
        precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
        return float(auroc), float(np.dot(positive[::-1], precision) / n_positive)
