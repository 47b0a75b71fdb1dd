"""What of a recording is known: a target that nobody measured is neither 0 nor 1, nor a number."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NOT_MEASURED = 255
"""Target of a label that nobody looked for in a recording, among targets of 0 and 1."""


def is_known(target: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which targets are known, of any shape.

    Parameters
    ----------
    target
        Of labels uint8, 0 or 1, and `NOT_MEASURED`; of numbers floating, and NaN.

    >>> is_known(np.array([0, 255, 1], np.uint8)).tolist()
    [True, False, True]
    >>> is_known(np.array([62.5, np.nan])).tolist()
    [True, False]
    """
    if np.issubdtype(target.dtype, np.floating):
        return np.asarray(~np.isnan(target), np.bool_)
    return np.asarray(target != NOT_MEASURED, np.bool_)


def is_positive(target: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which targets are 1: of labels, those that are known and present.

    >>> is_positive(np.array([0, 255, 1], np.uint8)).tolist()
    [False, False, True]
    """
    return np.asarray(target == 1, np.bool_)


def keep_known(
    target: NDArray[Any], *others: NDArray[Any]
) -> tuple[NDArray[Any], tuple[NDArray[Any], ...]]:
    """Keep the rows of one target that are known, and the same rows of what stands beside it.

    Without an unknown one the arrays themselves are given.

    >>> keep_known(np.array([0, 255, 1], np.uint8), np.array([0.1, 0.2, 0.3]))[1][0].tolist()
    [0.1, 0.3]
    """
    known = is_known(target)
    if known.all():
        return target, others
    return target[known], tuple(other[known] for other in others)
