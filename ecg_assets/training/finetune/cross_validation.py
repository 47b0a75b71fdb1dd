"""Metrics of each held-out fold, and their mean and standard deviation over the folds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.figures import ACCENT, DASHED, INK, make_figure, to_png
from ecg_assets.known import is_known, is_positive, keep_known
from ecg_assets.metrics.metrics import MACRO, tabulate, tabulate_missing
from ecg_assets.metrics.ranks import label_aurocs
from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema

MEAN, SD, ALL = "mean", "sd", "all"
_FOLD = "fold"
_ONE_CLASS = "the {} has no recording {} it"
_NO_LABEL = "no label is defined in every trained {}"

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
    folds: Mapping[str, Predictions],
    missing: Mapping[str, str],
    *,
    exclusive: bool,
    called: str = _FOLD,
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
    called
        What the reasons call a fold.

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
        [
            score_fold(part, exclusive=exclusive, called=called).assign(fold=name)
            for name, part in folds.items()
        ]
    )
    each = pd.concat([scored, _macro(scored, called)]).assign(n_folds=1)
    absent = [
        tabulate_missing(["auroc"], reason).assign(fold=name, n_folds=0)
        for name, reason in missing.items()
    ]
    parts = [each, *_over_folds(each, called), *absent]
    return pd.concat(parts, ignore_index=True)[_COLUMNS]


def score_fold(predictions: Predictions, *, exclusive: bool, called: str = _FOLD) -> pd.DataFrame:
    """Compute the metrics of each label; columns label, metric, value, n, n_pos, undefined."""
    from sklearn.metrics import average_precision_score, f1_score

    target, score = predictions.target, predictions.score
    chosen, n_pos = score.argmax(axis=1), is_positive(target).sum(axis=0, dtype=np.int64)
    n_known = is_known(target).sum(axis=0, dtype=np.int64)
    has_both = (n_pos > 0) & (n_pos < n_known)
    reasons = [
        None if both else _ONE_CLASS.format(called, "with" if n == 0 else "without")
        for n, both in zip(n_pos, has_both, strict=True)
    ]
    ranked = {"auroc": label_aurocs(target, score), "auprc": np.full(len(n_pos), np.nan)}
    values = ranked | ({"f1": np.full(len(n_pos), np.nan)} if exclusive else {})
    for i in np.flatnonzero(has_both):
        known, (scored,) = keep_known(target[:, i], score[:, i])
        values["auprc"][i] = average_precision_score(known, scored)
        if exclusive:
            values["f1"][i] = f1_score(target[:, i], chosen == i)
    table = tabulate(
        predictions.vocabulary.names,
        list(values),
        value=np.stack(list(values.values()), axis=1),
        n=n_known[:, np.newaxis],
        n_pos=n_pos[:, np.newaxis],
        undefined=np.array(reasons, object)[:, np.newaxis],
    )
    if not exclusive:
        return table
    share = np.mean(target[np.arange(len(target)), chosen])
    counts = {"n": len(target), "n_pos": n_pos.sum(), "undefined": np.array(None, object)}
    return pd.concat([table, tabulate([ALL], ["accuracy"], value=share, **counts)])


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


def draw_folds(table: pd.DataFrame) -> bytes:
    """Draw the AUROC of each label: a dot a fold, a line at the mean; the macro mean on top.

    Parameters
    ----------
    table
        As `CROSS_VALIDATION` declares.
    """
    auroc = table[(table["metric"] == "auroc") & (table["n"] > 0)]
    mean = auroc[auroc["fold"] == MEAN].set_index("label")["value"].astype(float)
    order = [MACRO, *mean.drop(MACRO, errors="ignore").sort_values(ascending=False).index]
    places = {label: at for at, label in enumerate(order)}
    dots = auroc[~auroc["fold"].isin((MEAN, SD))].dropna(subset="value")
    figure, [[axes]] = make_figure(8, 1.2 + 0.3 * len(order), lines="x")
    axes.plot(dots["value"], dots["label"].map(places), "o", color=ACCENT, alpha=0.6, label="fold")
    y = np.arange(len(order))
    values = mean.reindex(order).to_numpy(float)
    axes.vlines(values, y - 0.35, y + 0.35, color=INK, linewidth=2, label="mean over folds")
    axes.axvline(0.5, **DASHED)
    axes.set_yticks(y, order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlabel("AUROC on the held-out fold")
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return to_png(figure)


def _macro(scored: pd.DataFrame, called: str) -> pd.DataFrame:
    """Mean over the same labels in each fold: those that are defined in all of them."""
    labels = scored[scored["label"] != ALL]
    is_defined = labels.groupby(["label", "metric"])["value"].transform(
        lambda values: values.notna().all()
    )
    used = labels.assign(value=labels["value"].where(is_defined))
    macro = used.groupby(["fold", "metric"], sort=False, as_index=False).agg(
        value=("value", "mean"), n=("n", "first"), n_pos=("n_pos", "sum")
    )
    none = _NO_LABEL.format(called)
    reason = pd.Series([none if np.isnan(v) else None for v in macro["value"]], dtype=object)
    return macro.assign(label=MACRO, undefined=reason)


def _over_folds(each: pd.DataFrame, called: str) -> list[pd.DataFrame]:
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
    reasons = {MEAN: f"undefined in every {called}", SD: f"takes two {called}s that define it"}
    tables = []
    for name, reason in reasons.items():
        why = [reason if np.isnan(value) else None for value in found[name]]
        part = found.assign(fold=name, value=found[name], undefined=pd.Series(why, dtype=object))
        tables.append(part.drop(columns=[MEAN, SD]))
    return tables
