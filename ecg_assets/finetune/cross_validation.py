"""Metrics of each held-out fold, and their mean and standard deviation over the folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema

MEAN, SD, MACRO, ALL = "mean", "sd", "macro", "all"
_ONE_CLASS = "the fold has no recording {} it"
_NO_LABEL = "no label is defined in every trained fold"

CROSS_VALIDATION = TableSchema(
    "cross_validation",
    (
        Column("fold", pa.string(), f"held-out fold from 1; {MEAN} or {SD} (n - 1) over folds"),
        Column(
            "label",
            pa.string(),
            f"label; {MACRO}: mean over the labels defined in every trained fold; {ALL}: of the "
            "accuracy",
        ),
        Column("metric", pa.string(), "auroc or auprc; f1 and accuracy of exclusive labels"),
        Column("value", pa.float64(), "its value; empty where undefined", nullable=True),
        Column("n", pa.int64(), "recordings; 0: not trained"),
        Column("n_pos", pa.int64(), f"positive ones; of {MACRO} and {ALL} the sum over labels"),
        Column("n_folds", pa.int64(), "folds behind the value"),
        Column("undefined", pa.string(), "why there is no value", nullable=True),
    ),
)
_COLUMNS = [column.name for column in CROSS_VALIDATION.columns]


def combine_folds(
    folds: Mapping[str, Predictions], missing: Mapping[str, str], *, exclusive: bool
) -> pd.DataFrame:
    """Measure each fold by itself, then all of them together.

    Parameters
    ----------
    folds
        Scores of each fold's held-out recordings, by a model that was trained on the others.
    missing
        Why a fold has none.
    exclusive
        Whether labels exclude one another: adds F1 and accuracy of the highest score.

    Returns
    -------
    DataFrame
        `CROSS_VALIDATION`. A fold that is missing has one row, with the reason.

    Raises
    ------
    ValueError
        When no fold is given.
    """
    if not folds:
        raise ValueError("folds is empty; expected the predictions of one fold at least.")
    scored = pd.concat(
        [score_fold(part, exclusive=exclusive).assign(fold=name) for name, part in folds.items()]
    )
    each = pd.concat([scored, _macro(scored)]).assign(n_folds=1)
    absent = pd.DataFrame([_not_trained(name, reason) for name, reason in missing.items()])
    parts = [each, *_over_folds(each), *([absent] if len(absent) else [])]
    return pd.concat(parts, ignore_index=True)[_COLUMNS]


def score_fold(predictions: Predictions, *, exclusive: bool) -> pd.DataFrame:
    """Compute the metrics of each label; columns label, metric, value, n, n_pos, undefined."""
    rows: list[dict[str, Any]] = []
    target, n = predictions.target, len(predictions)
    called = predictions.score.argmax(axis=1)
    for i, label in enumerate(predictions.vocabulary.names):
        n_pos = int(target[:, i].sum())
        reason = None if 0 < n_pos < n else _ONE_CLASS.format("with" if n_pos == 0 else "without")
        values = dict.fromkeys(("auroc", "auprc"), np.nan)
        if reason is None:
            values = _rank(target[:, i], predictions.score[:, i])
        if exclusive:
            is_defined = reason is None
            values["f1"] = float(f1_score(target[:, i], called == i)) if is_defined else np.nan
        named = {"label": label, "n": n, "n_pos": n_pos, "undefined": reason}
        rows += [{**named, "metric": metric, "value": value} for metric, value in values.items()]
    if exclusive:
        rows.append(_accuracy(target, called))
    return pd.DataFrame(rows)


def summarize(table: pd.DataFrame) -> pd.DataFrame:
    """One row a label and metric: ``label, metric, mean, sd, n_folds, n, n_pos``."""
    mean, sd = (table[table["fold"] == name] for name in (MEAN, SD))
    joined = mean.merge(
        sd[["label", "metric", "value"]],
        on=["label", "metric"],
        suffixes=("", "_sd"),
        validate="one_to_one",
    ).rename(columns={"value": "mean", "value_sd": "sd"})
    return joined[["label", "metric", "mean", "sd", "n_folds", "n", "n_pos"]]


def _rank(target: NDArray[np.uint8], score: NDArray[np.float32]) -> dict[str, float]:
    return {
        "auroc": float(roc_auc_score(target, score)),
        "auprc": float(average_precision_score(target, score)),
    }


def _accuracy(target: NDArray[np.uint8], called: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "label": ALL,
        "metric": "accuracy",
        "value": float(np.mean(target[np.arange(len(target)), called])),
        "n": len(target),
        "n_pos": int(target.sum()),
        "undefined": None,
    }


def _macro(scored: pd.DataFrame) -> pd.DataFrame:
    """Mean over the same labels in each fold: those that are defined in all of them."""
    labels = scored[scored["label"] != ALL]
    is_defined = labels.groupby(["label", "metric"])["value"].transform(
        lambda values: values.notna().all()
    )
    used = labels.assign(value=labels["value"].where(is_defined))
    macro = used.groupby(["fold", "metric"], sort=False, as_index=False).agg(
        value=("value", "mean"), n=("n", "first"), n_pos=("n_pos", "sum")
    )
    reason = pd.Series([_NO_LABEL if np.isnan(v) else None for v in macro["value"]], dtype=object)
    return macro.assign(label=MACRO, undefined=reason)


def _over_folds(each: pd.DataFrame) -> list[pd.DataFrame]:
    """Mean and standard deviation of each label and metric, over the folds that define it."""
    is_counted = each["value"].notna()
    counted = each.assign(
        n=each["n"].where(is_counted, 0), n_pos=each["n_pos"].where(is_counted, 0)
    )
    found = counted.groupby(["label", "metric"], sort=False, as_index=False).agg(
        mean=("value", "mean"),
        sd=("value", "std"),
        n=("n", "sum"),
        n_pos=("n_pos", "sum"),
        n_folds=("value", "count"),
    )
    reasons = {MEAN: "undefined in every fold", SD: "takes two folds that define it"}
    tables = []
    for name, reason in reasons.items():
        why = [reason if np.isnan(value) else None for value in found[name]]
        part = found.assign(fold=name, value=found[name], undefined=pd.Series(why, dtype=object))
        tables.append(part.drop(columns=[MEAN, SD]))
    return tables


def _not_trained(fold: str, reason: str) -> dict[str, Any]:
    """Row of a fold without predictions."""
    counts = dict.fromkeys(("n", "n_pos", "n_folds"), 0)
    named = {"fold": fold, "label": MACRO, "metric": "auroc", "undefined": reason}
    return {**named, "value": np.nan, **counts}
