"""The results folder of a classifier of exclusive classes, with the file names of its users.

Names of classes come from the vocabulary of the predictions and from nowhere else: no list
beside it, no order of an encoder.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from ecg_assets.errors import SchemaError
from ecg_assets.evaluation.class_figures import draw_class_metrics, draw_class_roc_curves
from ecg_assets.models.confusion import class_report, confusion_matrix_table
from ecg_assets.models.confusion_figure import draw_confusion_matrix
from ecg_assets.models.predictions import Predictions
from ecg_assets.storage import replace_folder

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
    aucs = _class_aucs(kept)
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
        results.performance.to_csv(temporary / PERFORMANCE, index=False)
        _write_json(temporary / "classification_report.json", _as_report(results))
        _write_json(temporary / DETAILS, _as_details(results))
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


def _class_aucs(kept: Predictions) -> NDArray[np.float64]:
    """AUROC of each class against all others, ``(class,)``; NaN where one side is empty."""
    aucs = np.full(len(kept.vocabulary), np.nan)
    for i, (target, score) in enumerate(zip(kept.target.T, kept.score.T, strict=True)):
        if 0 < target.sum() < len(target):
            aucs[i] = roc_auc_score(target, score)
    return aucs


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


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
