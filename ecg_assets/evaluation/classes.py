"""The results folder of a classifier of exclusive classes, with the file names of its users.

Names of classes come from the vocabulary of the predictions and from nowhere else: no list
beside it, no order of an encoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.report.numbers import format_number
from ecg_assets.figures import ACCENT, DASHED, INK, LIGHT, MUTED, SERIES, make_figure, to_png
from ecg_assets.metrics.confusion import class_report, confusion_matrix_table, draw_confusion_matrix
from ecg_assets.metrics.ranks import auroc, label_aurocs
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_folder, write_json
from ecg_assets.tables import write_csv

# Pictures of exclusive classes as PNG bytes: metrics and ROC curves.


_DASHES = ("-", "--", ":", "-.")


def draw_class_metrics(performance: pd.DataFrame) -> bytes:
    """Draw precision, recall and F1 of each class; what is undefined is named so.

    Parameters
    ----------
    performance
        Rows of classes of `ClassResults.performance`, without the averages.
    """
    names = performance["Condition"].tolist()
    figure, [[axes]] = make_figure(2 + 1.1 * len(names), 3.8, lines="y")
    at = np.arange(len(names))
    for i, (column, color) in enumerate(
        zip(("Precision", "Recall", "F1-Score"), (LIGHT, ACCENT, INK), strict=True)
    ):
        values = performance[column].to_numpy(np.float64)
        place = at + 0.26 * (i - 1)
        axes.bar(place, np.nan_to_num(values), 0.24, color=color, label=column)
        for x in place[np.isnan(values)]:
            axes.text(
                x, 0.02, "undefined", rotation=90, fontsize=7.5, color=MUTED, ha="center"
            )  # fmt: skip
    support = performance["Support"].tolist()
    labels = [f"{name}\nn {n:,}" for name, n in zip(names, support, strict=True)]
    axes.set_xticks(at, labels, rotation=30, ha="right", fontsize=9)
    axes.set_ylim(0, 1.02)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return to_png(figure)


def draw_class_roc_curves(kept: Predictions) -> bytes:
    """Draw the ROC curve of each class against all others.

    Parameters
    ----------
    kept
        Recordings with exactly one class.
    """
    from sklearn.metrics import roc_curve

    figure, [[axes]] = make_figure(7.6, 4.8)
    axes.plot([0, 1], [0, 1], **DASHED)
    for i, name in enumerate(kept.vocabulary.names):
        target, score = kept.target[:, i], kept.score[:, i]
        color, dash = SERIES[i % len(SERIES)], _DASHES[i // len(SERIES) % len(_DASHES)]
        if 0 < target.sum() < len(target):
            x, y, _ = roc_curve(target, score)
            text = f"{name}: AUC {format_number(auroc(target, score))}, n {target.sum():,}"
            axes.plot(x, y, color=color, linestyle=dash, linewidth=1.6, label=text)
        else:
            axes.plot([], [], color=color, linestyle=dash, label=f"{name}: undefined")
    axes.set(xlabel="false positive rate", ylabel="sensitivity", aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return to_png(figure)


PERFORMANCE = "performance_table.csv"
DETAILS = "detailed_results.json"
PICTURES = ("confusion_matrix.png", "per_class_metrics.png", "roc_curves.png")
MACRO, WEIGHTED = "Macro Avg", "Weighted Avg"
_COLUMNS = {"name": "Condition", "precision": "Precision", "recall": "Recall", "f1": "F1-Score"}


@dataclass(frozen=True, eq=False)
class ClassResults:
    """What predictions of exclusive classes are worth.

    Attributes
    ----------
    performance
        Columns Condition, Precision, Recall, F1-Score, AUC, Support; a row a class, then Macro
        Avg and Weighted Avg (by support). AUC is of the class against all others. What is
        undefined is NaN, and not in a mean.
    confusion
        Recordings by true (row) and called class (column).
    accuracy
        Share of recordings whose class was called.
    n_left_out
        Recordings with none or several of the classes.
    """

    performance: pd.DataFrame
    confusion: pd.DataFrame
    accuracy: float
    n_left_out: int


def measure_classes(predictions: Predictions) -> ClassResults:
    """Compare the class with the highest score with the true one.

    Recordings with none or several of the classes have no true one, and are left out.

    Raises
    ------
    SchemaError
        When no recording is left.
    """
    kept = select_single_class(predictions)
    if not len(kept):
        raise SchemaError(
            f"None of {len(predictions)} recordings has exactly one of the classes "
            f"{', '.join(predictions.vocabulary.names)}; there is nothing to compare. Evaluate on "
            "recordings that are labelled with them."
        )
    names = kept.vocabulary.names
    report = class_report(kept.target, kept.score, names).set_index("name", drop=False)
    table = report.drop(index="accuracy").rename(columns=_COLUMNS)
    aucs = label_aurocs(kept.target, kept.score)
    support = kept.target.sum(axis=0)
    table["AUC"] = [*aucs, _mean(aucs, np.ones(len(aucs))), _mean(aucs, support)]
    table["Support"] = table.pop("n")
    table["Condition"] = table["Condition"].replace({"macro": MACRO, "weighted": WEIGHTED})
    return ClassResults(
        table.reset_index(drop=True),
        confusion_matrix_table(kept.target, kept.score, names),
        float(report["f1"]["accuracy"]),
        len(predictions) - len(kept),
    )


def write_class_results(predictions: Predictions, folder: Path) -> ClassResults:
    """Write tables and pictures; the folder is replaced as a whole.

    It holds ``performance_table.csv``, ``classification_report.json`` (as scikit-learn's
    ``output_dict``), ``detailed_results.json``, and ``confusion_matrix.png`` (counts, and
    percent of the true class), ``per_class_metrics.png`` and ``roc_curves.png``. What is
    undefined is an empty cell or null.

    Parameters
    ----------
    predictions
        Of a model whose labels exclude one another.
    folder
        Where to write.
    """
    results = measure_classes(predictions)
    kept = select_single_class(predictions)
    pictures = (
        draw_confusion_matrix(results.confusion),
        draw_class_metrics(results.performance.iloc[: len(kept.vocabulary)]),
        draw_class_roc_curves(kept),
    )
    with replace_folder(folder) as temporary:
        write_csv(results.performance, temporary / PERFORMANCE)
        write_json(temporary / "classification_report.json", _as_report(results), indent=2)
        write_json(temporary / DETAILS, _as_details(results), indent=2)
        for name, png in zip(PICTURES, pictures, strict=True):
            (temporary / name).write_bytes(png)
    return results


def select_single_class(predictions: Predictions) -> Predictions:
    """Keep the recordings with exactly one of the classes."""
    rows = predictions.target.sum(axis=1) == 1
    return Predictions(
        predictions.record_ids[rows],
        predictions.subject_ids[rows],
        predictions.vocabulary,
        predictions.target[rows],
        predictions.score[rows],
    )


def _mean(values: NDArray[np.float64], weights: NDArray[Any]) -> float:
    """Average what is defined; NaN where nothing with a weight is."""
    counts = np.where(np.isnan(values), 0, weights)
    total = counts.sum()
    return float(np.nansum(values * counts) / total) if total else math.nan


def _as_report(results: ClassResults) -> dict[str, Any]:
    names = {MACRO: "macro avg", WEIGHTED: "weighted avg"}
    rows = {names.get(name, name): row for name, row in _rows(results).items()}
    return {**rows, "accuracy": results.accuracy}


def _as_details(results: ClassResults) -> dict[str, Any]:
    rows = _rows(results)
    macro, weighted = rows.pop(MACRO), rows.pop(WEIGHTED)
    return {
        "overall_accuracy": results.accuracy,
        "class_names": list(rows),
        "per_class_metrics": rows,
        "macro_averages": macro,
        "weighted_averages": weighted,
        "confusion_matrix": results.confusion.to_numpy().tolist(),
        "n_left_out": results.n_left_out,
    }


def _rows(results: ClassResults) -> dict[str, dict[str, float]]:
    return {
        row["Condition"]: {
            "precision": row["Precision"],
            "recall": row["Recall"],
            "f1-score": row["F1-Score"],
            "auc": row["AUC"],
            "support": row["Support"],
        }
        for row in results.performance.to_dict("records")
    }
