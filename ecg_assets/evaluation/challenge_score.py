"""The score of the PhysioNet/Computing in Cardiology Challenges 2020 and 2021.

It rewards a wrong diagnosis by how near its treatment is to the right one's. Source: Perez Alday
et al. 2020, https://doi.org/10.1088/1361-6579/abc960, section 2.3, with the weights of Reyna et
al. 2021, https://doi.org/10.23919/CinC53138.2021.9662687.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError


@dataclass(frozen=True)
class ChallengeWeights:
    """What calling one class is worth where another is right.

    Attributes
    ----------
    classes
        Codes of each class; equivalent codes are one class.
    values
        float64 ``(true class, called class)``.
    """

    classes: tuple[tuple[str, ...], ...]
    values: NDArray[np.float64]

    def index_of(self, code: str) -> int:
        """Position of the class that a code belongs to.

        Raises
        ------
        ValueError
            When no class has this code.
        """
        for index, codes in enumerate(self.classes):
            if code in codes:
                return index
        raise ValueError(f"No class of the weights has the code {code!r}; found {self.classes}.")


def read_challenge_weights(path: Path) -> ChallengeWeights:
    """Read weights from the Challenge's ``weights.csv``.

    First row and first column name the classes, in the same order; ``a|b`` are equivalent codes.

    Raises
    ------
    SchemaError
        When rows and columns name other classes, or a weight is not a number.
    """
    table = pd.read_csv(path, index_col=0, dtype=str)
    rows, columns = ([_codes(name) for name in names] for names in (table.index, table.columns))
    if not rows or rows != columns:
        raise SchemaError(
            f"{path}: expected the same classes, in the same order, in the first row and the "
            f"first column; found {len(columns)} in the row and {len(rows)} in the column."
        )
    try:
        values = table.to_numpy().astype(np.float64)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{path}: a weight is not a number: {error}") from error
    if not np.isfinite(values).all():
        raise SchemaError(f"{path}: {int((~np.isfinite(values)).sum())} weights are missing.")
    return ChallengeWeights(tuple(rows), values)


def challenge_score(
    target: NDArray[Any], called: NDArray[Any], weights: NDArray[np.float64], normal_index: int
) -> float:
    """Score called classes; 1 is what the right ones give, 0 what always calling normal gives.

    Parameters
    ----------
    target, called
        0 or 1, ``(record, class)``: what is right, and what was called.
    weights
        ``(true class, called class)``, as in `ChallengeWeights.values`.
    normal_index
        The class that an inactive classifier would call: normal sinus rhythm.

    Returns
    -------
    float
        Negative when worse than always normal. NaN when the right classes score the same as
        that (the Challenge's own code says 0 there, though nothing was measured).

    Raises
    ------
    ValueError
        When shapes do not fit or a value is not 0 or 1.

    Examples
    --------
    >>> right = np.array([[1, 0], [0, 1]])
    >>> challenge_score(right, np.array([[1, 0], [1, 1]]), np.eye(2), normal_index=0)
    0.5
    """
    n_classes = len(weights)
    if target.ndim != 2 or target.shape != called.shape or weights.shape != (n_classes,) * 2:
        raise ValueError(
            f"target has shape {target.shape}, called {called.shape}, weights {weights.shape}; "
            "expected (record, class) twice and (class, class)."
        )
    if target.shape[1] != n_classes or not 0 <= normal_index < n_classes:
        raise ValueError(
            f"{target.shape[1]} classes and normal_index {normal_index}; expected "
            f"{n_classes} classes as in the weights, and an index below that."
        )
    if not (np.isin(target, (0, 1)).all() and np.isin(called, (0, 1)).all()):
        raise ValueError("target or called holds other values than 0 and 1.")
    inactive = np.zeros(target.shape)
    inactive[:, normal_index] = 1
    found, right, normal = (
        float((weights * confuse(target, calls)).sum()) for calls in (called, target, inactive)
    )
    return (found - normal) / (right - normal) if right != normal else np.nan


def confuse(target: NDArray[Any], called: NDArray[Any]) -> NDArray[np.float64]:
    """Multi-label confusion matrix ``(true class, called class)``.

    A recording adds 1 / max(1, n) to each pair of a true and a called class, where n is the
    number of classes that are true or called.
    """
    true, calls = target.astype(np.float64), called.astype(np.float64)
    n_named = np.maximum((true + calls > 0).sum(axis=1, keepdims=True), 1)
    matrix: NDArray[np.float64] = true.T @ (calls / n_named)
    return matrix


def _codes(name: str) -> tuple[str, ...]:
    return tuple(sorted(code.strip() for code in str(name).split("|")))
