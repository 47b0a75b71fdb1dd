"""Classes that exclude each other: which is called for which, and what each is worth.

Calling a function of this module says that the labels are exclusive (a softmax, one class a
recording); the targets are checked for it. Labels that may stand together have no confusion
matrix: an evaluation describes each by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import classification_report, confusion_matrix


def confusion_matrix_table(
    target: NDArray[Any], score: NDArray[np.floating[Any]], class_names: Sequence[str]
) -> pd.DataFrame:
    """Count recordings by true and called class.

    Parameters
    ----------
    target
        0 or 1, ``(record, class)``, exactly one 1 in each row.
    score
        Of the same shape; the class with the highest one is called, the first of equal ones.
    class_names
        Distinct names of the columns.

    Returns
    -------
    DataFrame
        Rows are true classes, columns called ones, both by name in the order given.

    Raises
    ------
    ValueError
        When a recording has no or several classes, shapes do not fit or a score is NaN.
    """
    names = list(class_names)
    true, called = _find_classes(target, score, names)
    counts = confusion_matrix(true, called, labels=range(len(names)))
    return name_counts(counts, names)


def name_counts(counts: ArrayLike, class_names: Sequence[str]) -> pd.DataFrame:
    """Name the rows (true classes) and columns (called ones) of counts ``(class, class)``."""
    rows = pd.Index(class_names, name="true class")
    columns = pd.Index(class_names, name="called class")
    return pd.DataFrame(np.asarray(counts, np.int64), index=rows, columns=columns)


def class_report(
    target: NDArray[Any], score: NDArray[np.floating[Any]], class_names: Sequence[str]
) -> pd.DataFrame:
    """Precision, recall and F1 of each class, their means, and the accuracy.

    Parameters
    ----------
    target, score, class_names
        As of `confusion_matrix_table`.

    Returns
    -------
    DataFrame
        Columns name, precision, recall, f1, n; one row a class, then ``macro``, ``weighted``
        (by n) and ``accuracy`` (in all three columns). What divides by nothing is NaN, and not
        in a mean: recall of a class that no recording has, precision of one never called.
    """
    found = report_confusion(confusion_matrix_table(target, score, class_names))
    accuracy = found["accuracy"]
    rows = [
        (name, row["precision"], row["recall"], row["f1-score"], int(row["support"]))
        for name, row in _named_rows(found, list(class_names))
    ]
    rows.append(("accuracy", accuracy, accuracy, accuracy, len(target)))
    return pd.DataFrame(rows, columns=["name", "precision", "recall", "f1", "n"])


def report_confusion(confusion: pd.DataFrame) -> dict[str, Any]:
    """Compute scikit-learn's ``classification_report`` as a dict, of counts alone.

    Parameters
    ----------
    confusion
        As `confusion_matrix_table` gives it, of one recording at least.

    Returns
    -------
    dict
        ``precision``, ``recall``, ``f1-score`` and ``support`` of each class, ``macro avg`` and
        ``weighted avg``, and ``accuracy``. NaN as in `class_report`.

    >>> counts = name_counts([[3, 1], [0, 0]], ["a", "b"])
    >>> found = report_confusion(counts)
    >>> found["a"]["recall"], found["b"]["recall"], found["accuracy"]
    (0.75, nan, 0.75)
    """
    names = list(confusion.index)
    cells = np.repeat(np.arange(confusion.size), confusion.to_numpy().ravel())
    true, called = np.divmod(cells, len(names))
    found: dict[str, Any] = classification_report(
        true,
        called,
        labels=range(len(names)),
        target_names=names,
        output_dict=True,
        zero_division=np.nan,
    )
    return found


def _named_rows(found: dict[str, Any], names: list[str]) -> list[tuple[str, dict[str, float]]]:
    means = [("macro", found["macro avg"]), ("weighted", found["weighted avg"])]
    return [*((name, found[name]) for name in names), *means]


def _find_classes(
    target: NDArray[Any], score: NDArray[np.floating[Any]], names: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the true and the called class of each recording, by column."""
    if target.ndim != 2 or target.shape != score.shape or target.shape[1] != len(names):
        raise ValueError(
            f"target has shape {target.shape}, score {score.shape}, and {len(names)} names; "
            "expected (record, class) twice, a name a class."
        )
    if len(set(names)) != len(names):
        raise ValueError(f"class_names are {names}; expected distinct names.")
    several = (np.isin(target, (0, 1)).sum(axis=1) != len(names)) | (target.sum(axis=1) != 1)
    if several.any():
        raise ValueError(
            f"{int(several.sum())} of {len(target)} recordings do not have exactly one class; "
            "these labels are not exclusive. Evaluate each label by itself."
        )
    if np.isnan(score).any():
        raise ValueError(f"score holds {int(np.isnan(score).sum())} NaN; expected numbers.")
    return np.argmax(target, axis=1), np.argmax(score, axis=1)
