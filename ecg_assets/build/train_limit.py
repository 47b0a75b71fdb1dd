"""How many training recordings of each label a manifest takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

OVER_LIMIT = "over_limit"
"""Reason why a recording is left out of a manifest."""


@dataclass(frozen=True)
class TrainLimit:
    """Most training recordings of each label.

    A recording stays while it is among the first of one of its labels, in an order that a hash
    of its name and the seed gives. So a common label never takes away a rare one's recordings,
    and a label that comes with rarer ones can keep more than the limit. Recordings without any
    of the labels count as a label of their own.

    Attributes
    ----------
    per_label
        A number, or ``smallest``: as many as the rarest label has that is there at all.
    seed
        Another one gives another choice.
    """

    per_label: int | Literal["smallest"]
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_label != "smallest" and self.per_label < 1:
            raise ValueError(
                f"per_label is {self.per_label!r}; it must be 1 or more, or 'smallest'."
            )

    def find_surplus(
        self, record_ids: Iterable[str], targets: NDArray[np.uint8]
    ) -> NDArray[np.bool_]:
        """Say which training recordings are over the limit.

        Parameters
        ----------
        record_ids
            Names of the recordings; their order does not count.
        targets
            0 or 1, ``(record, label)``.

        Returns
        -------
        NDArray[np.bool_]
            ``(record,)``.

        >>> targets = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.uint8)
        >>> int(TrainLimit(1).find_surplus(["a", "b", "c", "d"], targets).sum())
        2
        """
        has_label = targets.astype(bool)
        is_of = np.column_stack([has_label, ~has_label.any(axis=1)])
        order = np.argsort([_position(self.seed, name) for name in record_ids], kind="stable")
        place = np.empty_like(is_of, dtype=np.int64)
        place[order] = is_of[order].cumsum(axis=0)
        is_kept = is_of & (place <= self._most(has_label))
        return np.asarray(~is_kept.any(axis=1), np.bool_)

    def _most(self, has_label: NDArray[np.bool_]) -> int:
        if self.per_label != "smallest":
            return self.per_label
        counts = has_label.sum(axis=0)
        return int(counts[counts > 0].min(initial=len(has_label)))


def _position(seed: int, name: str) -> bytes:
    # Another text than the split's hash has, which would choose by split again.
    return hashlib.sha256(f"limit:{seed}:{name}".encode()).digest()
