"""Hand out shares exactly instead of by luck: small cohorts keep each rare finding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def assign_by_quota(
    sizes: Sequence[int], shares: Sequence[float], limits: Sequence[int] | None = None
) -> list[int]:
    """Give each item, in order, to the group that is furthest below its share.

    Parameters
    ----------
    sizes
        Weight of each item.
    shares
        Wanted share of each group in the sum of the weights; they sum to 1.
    limits
        Largest size of an item that a group takes; none when absent.

    Returns
    -------
    list of int
        Group of each item. Ties go to the earlier group.

    Raises
    ------
    ValueError
        When the shares do not sum to 1, or an item is too large for every group.

    Examples
    --------
    >>> assign_by_quota([1, 1, 1, 1], [0.5, 0.25, 0.25])
    [0, 0, 1, 2]
    >>> assign_by_quota([3, 1], [0.5, 0.5], [1, 3])
    [1, 0]
    """
    if abs(sum(shares) - 1.0) > 1e-9:
        raise ValueError(f"shares sum to {sum(shares)}; expected 1.")
    wanted = np.array(shares) * sum(sizes)
    largest = np.array(limits if limits is not None else [max(sizes, default=0)] * len(shares))
    groups = []
    for size in sizes:
        room = np.where(size <= largest, wanted, -np.inf)
        if np.isinf(room).all():
            raise ValueError(f"an item of size {size} fits no group; limits: {largest.tolist()}.")
        group = int(np.argmax(room))
        wanted[group] -= size
        groups.append(group)
    return groups
