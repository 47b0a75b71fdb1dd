"""Which class is called for which, and what that is worth.

A confusion matrix says that the labels are exclusive (a softmax, one class a recording); the
targets are checked for it. Labels that may stand together have none, an evaluation describes
each by itself; the Challenge's score alone is of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.figures import draw_shares, make_figure, to_png
from ecg_assets.known import keep_known
from ecg_assets.metrics.ranks import TieBlocks
from ecg_assets.metrics.sums import ratio


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
    from sklearn.metrics import confusion_matrix

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
    from sklearn.metrics import classification_report

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


# A picture of the confusion matrix of exclusive classes.


def draw_confusion_matrix(confusion: pd.DataFrame) -> bytes:
    """Draw counts and percent of the true class, which also colours the cells.

    Parameters
    ----------
    confusion
        As `confusion_matrix_table` gives it.
    """
    counts = confusion.to_numpy(np.float64)
    share = ratio(counts, counts.sum(axis=1, keepdims=True))
    names = list(confusion.index)
    pairs = zip(counts.ravel(), share.ravel(), strict=True)
    texts = np.array([_cell_text(*pair) for pair in pairs], object).reshape(counts.shape)
    side = 1.6 + 0.85 * len(names)
    figure, [[axes]] = make_figure(side + 0.8, side, has_frame=True)
    draw_shares(axes, share, texts, names, names, size=9)
    axes.set(xlabel="called class", ylabel="true class")
    return to_png(figure)


def _cell_text(count: float, share: float) -> str:
    return f"{count:,.0f}\n{'–' if np.isnan(share) else f'{100 * share:.0f} %'}"


# The score of the PhysioNet/Computing in Cardiology Challenges 2020 and 2021, which rewards a wrong
# diagnosis by how near its treatment is to the right one's. Source: Perez Alday et al. 2020,
# https://doi.org/10.1088/1361-6579/abc960, section 2.3, with the weights of Reyna et al. 2021,
# https://doi.org/10.23919/CinC53138.2021.9662687.


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
    _require_binary(target, called)
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


def sensitivity_within_capacity(
    target: NDArray[np.uint8], score: NDArray[np.floating[Any]], capacity: float = 0.05
) -> float:
    """Sensitivity where only the recordings with the highest scores can be followed up.

    The score of the PhysioNet/Computing in Cardiology Challenge 2025 (physionetchallenges/
    evaluation-2025, ``helper_code.py``, ``compute_challenge_score``), which breaks ties at random
    and takes the mean of 10,000 permutations. Here it is what that mean tends to: of equal scores
    at the border each is as likely as the others to be among those that fit in.

    Parameters
    ----------
    target, score
        0 or 1 or `NOT_MEASURED`, and any numbers without NaN, ``(record,)``.
    capacity
        Share of the recordings, 0 to 1; their number is rounded down.

    Returns
    -------
    float
        NaN without a positive.

    Raises
    ------
    ValueError
        When the capacity is no share or a score is NaN.

    Examples
    --------
    >>> found = np.array([1, 0, 1, 0], np.uint8), np.array([0.9, 0.8, 0.8, 0.1])
    >>> sensitivity_within_capacity(*found, capacity=0.5)
    0.75
    """
    if not 0 <= capacity <= 1 or np.isnan(score).any():
        raise ValueError(
            f"capacity is {capacity} and score holds {int(np.isnan(score).sum())} NaN; "
            "expected a share from 0 to 1, and numbers."
        )
    known, (scored,) = keep_known(target, score)
    blocks = TieBlocks.from_scores(known, scored)
    return float(blocks.resample_within(np.ones((1, len(known)), np.int64), capacity)[0])


def macro_beta_scores(
    target: NDArray[Any], called: NDArray[Any], beta: float = 2.0
) -> tuple[float, float]:
    """Macro F-beta and G-beta, in which a recording with n labels counts 1/n.

    TP, FP and FN of a label are sums over recordings of 1/n (1 where n is 0). F is
    (1 + β²) TP / ((1 + β²) TP + FP + β² FN), G is TP / (TP + FP + β FN). With β = 2 those that the
    PTB-XL benchmark has of ICBEB2018 (doi:10.1109/JBHI.2020.3022989; helme/ecg_ptbxl_benchmarking,
    ``code/utils/utils.py``, ``challenge_metrics``).

    Parameters
    ----------
    target, called
        0 or 1, ``(record, label)``: what is right, and what was called.

    Returns
    -------
    tuple of float
        F and G, means over the labels that a recording has or is called; NaN where there is none.

    Raises
    ------
    ValueError
        When a value is not 0 or 1.

    >>> right, called = np.array([[1, 0], [1, 1], [0, 1]]), np.array([[1, 0], [0, 1], [0, 0]])
    >>> macro_beta_scores(right, called)  # G of the labels: 1 / 2 and 0.5 / 2.5
    (0.5494505494505495, 0.35)
    """
    _require_binary(target, called)
    right, calls = target == 1, called == 1
    weight = 1 / np.maximum(right.sum(axis=1), 1)
    hit, false, missed = (
        weight @ cases for cases in (right & calls, ~right & calls, right & ~calls)
    )
    f = ratio((1 + beta**2) * hit, (1 + beta**2) * hit + false + beta**2 * missed)
    g = ratio(hit, hit + false + beta * missed)
    is_named = np.isfinite(g)
    if not is_named.any():
        return np.nan, np.nan
    return float(f[is_named].mean()), float(g[is_named].mean())


def _require_binary(target: NDArray[Any], called: NDArray[Any]) -> None:
    if not (np.isin(target, (0, 1)).all() and np.isin(called, (0, 1)).all()):
        raise ValueError("target or called holds other values than 0 and 1.")


def _codes(name: str) -> tuple[str, ...]:
    return tuple(sorted(code.strip() for code in str(name).split("|")))
