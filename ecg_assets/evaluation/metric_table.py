"""Metrics in long form: a row a label and metric, with what is undefined about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.evaluation.intervals import SUMMARIES
from ecg_assets.evaluation.metrics import METRICS
from ecg_assets.tables import Column, TableSchema

METRIC_TABLE = TableSchema(
    "metrics",
    (
        Column("label", pa.string(), "label, or macro, weighted, micro"),
        Column("metric", pa.string(), "name of the metric"),
        Column("value", pa.float64(), "value on the set", nullable=True),
        Column("low", pa.float64(), "lower end of its 95 % interval", nullable=True),
        Column("high", pa.float64(), "upper end of its 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings; pairs of recording and label in micro"),
        Column("n_pos", pa.int64(), "positive ones; in a summary the sum over its labels"),
        Column("undefined", pa.string(), "what is undefined about it, and why", nullable=True),
    ),
)

NO_POSITIVE = "no positive record in the evaluation set"
NO_NEGATIVE = "no negative record in the evaluation set"
NO_RECORD = "no record in the evaluation set"
_NEEDS_BOTH = ("auroc", "auprc", "calibration_slope", "calibration_intercept")
_NEEDS_POSITIVE = (*_NEEDS_BOTH, "f1", "sensitivity")
_NEEDS_NEGATIVE = (*_NEEDS_BOTH, "specificity")
_NEEDS_THRESHOLD = ("f1", "sensitivity", "specificity", "ppv", "npv")
_OTHERWISE = {
    "ppv": "no record is called positive",
    "npv": "no record is called negative",
    "calibration_slope": "no finite line: the scores are all alike or separate the classes",
    "calibration_intercept": "no finite line: the scores are all alike or separate the classes",
}


def tabulate_metrics(
    labels: pd.DataFrame,
    summaries: Mapping[str, Mapping[str, float]],
    undefined: Mapping[str, str],
    n_resamples: int,
) -> pd.DataFrame:
    """Turn a table of labels and the summary rows into long form, `METRIC_TABLE`.

    Parameters
    ----------
    labels
        One row a label, as in `EvaluationResult.labels`.
    summaries
        ``macro``, ``weighted`` and ``micro``: metric to value, ``_low`` and ``_high``.
    undefined
        Label to the reason why it has no AUROC.
    """
    rows = []
    for label in labels.to_dict("records"):
        for metric in METRICS:
            reason = find_reason(label, metric, undefined.get(str(label["label"])), n_resamples)
            rows.append(_row(str(label["label"]), metric, label, label, reason))
    n_pos = int(labels["n_pos"].sum())
    for name in SUMMARIES:
        n = int(labels["n"].sum() if name == "micro" else labels["n"].max())
        counts = {"n": n, "n_pos": n_pos}
        for metric in METRICS:
            values = summaries[name]
            left_out = _name_left_out(labels, metric, is_pooled=name == "micro")
            reason = _summary_reason(values, metric, left_out, n_resamples)
            rows.append(_row(name, metric, values, counts, reason))
    return pd.DataFrame(rows, columns=[column.name for column in METRIC_TABLE.columns])


def find_reason(
    label: Mapping[Any, Any], metric: str, given: str | None, n_resamples: int
) -> str | None:
    """Say why a label's metric, or its interval, is undefined; None if both are there.

    Parameters
    ----------
    label
        Row of the table of labels.
    given
        The reason why the label has no AUROC, if it has none.
    """
    if np.isfinite(label[metric]):
        return _interval_reason(label, metric, n_resamples)
    if given and np.isnan(label["brier"]):
        return given
    if metric in _NEEDS_THRESHOLD and np.isnan(label["threshold"]):
        return "no threshold for this label"
    if metric in _NEEDS_POSITIVE and label["n_pos"] == 0:
        return NO_POSITIVE
    if metric in _NEEDS_NEGATIVE and label["n_pos"] == label["n"]:
        return NO_NEGATIVE
    return _OTHERWISE[metric]


def _name_left_out(labels: pd.DataFrame, metric: str, *, is_pooled: bool) -> str:
    is_missing = labels["brier"].isna() if is_pooled else labels[metric].isna()
    if is_pooled and metric in _NEEDS_THRESHOLD:
        is_missing |= labels["threshold"].isna()
    names = labels["label"][is_missing]
    return f"without {len(names)} of {len(labels)} labels: {', '.join(names)}" if len(names) else ""


def _summary_reason(
    values: Mapping[str, float], metric: str, left_out: str, n_resamples: int
) -> str | None:
    if np.isnan(values[metric]):
        why = "no label is left" if left_out else "undefined over the pooled pairs"
    else:
        why = _interval_reason(values, metric, n_resamples) or ""
    return "; ".join(part for part in (left_out, why) if part) or None


def _interval_reason(values: Mapping[Any, Any], metric: str, n_resamples: int) -> str | None:
    if np.isfinite(values[f"{metric}_low"]):
        return None
    if not n_resamples:
        return "no interval: no resamples were drawn"
    return f"no interval: undefined in more than half of {n_resamples} resamples"


def _row(
    name: str,
    metric: str,
    values: Mapping[Any, Any],
    counts: Mapping[Any, Any],
    reason: str | None,
) -> dict[str, Any]:
    return {
        "label": name,
        "metric": metric,
        "value": float(values[metric]),
        "low": float(values[f"{metric}_low"]),
        "high": float(values[f"{metric}_high"]),
        "n": int(counts["n"]),
        "n_pos": int(counts["n_pos"]),
        "undefined": reason,
    }
