"""Metrics of groups of recordings, with intervals over patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.evaluation.intervals import BootstrapIntervals, bootstrap_by_patient
from ecg_assets.evaluation.metrics import METRICS
from ecg_assets.evaluation.shift.slice_groups import SLICES, order_groups
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema

SLICE_METRICS = TableSchema(
    "slice_metrics",
    (
        Column("slice", pa.string(), f"what the recordings are grouped by: {', '.join(SLICES)}"),
        Column("group", pa.string(), "the group; unknown where the fact is missing"),
        Column("label", pa.string(), "a label, or macro: the mean over the group's labels"),
        Column("metric", pa.string(), "auroc, auprc, sensitivity or specificity"),
        Column("value", pa.float64(), "empty where the group has one class only", nullable=True),
        Column("low", pa.float64(), "lower end of the 95 % interval", nullable=True),
        Column("high", pa.float64(), "upper end of the 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings in the group"),
        Column("n_patients", pa.int64(), "patients in the group"),
        Column("n_pos", pa.int64(), "positives of the label; of macro, of all its labels"),
        Column("is_uncertain", pa.bool_(), "fewer than 20 positives or negatives of a label"),
        Column("n_labels", pa.int64(), "labels in the mean; 1 for a label, 0 where undefined"),
        Column(
            "whole_set",
            pa.float64(),
            "the metric of all recordings, its mean over the same labels",
            nullable=True,
        ),
        Column("n_resamples", pa.int64(), "resamples of patients behind the interval"),
    ),
)

SLICE_METRIC_NAMES = ("auroc", "auprc", "sensitivity", "specificity")
MACRO = "macro"
FEW = 20
"""A group with fewer positives or negatives of a label tells little of it."""

_COLUMNS = [METRICS.index(name) for name in SLICE_METRIC_NAMES]


def evaluate_slices(
    predictions: Predictions,
    thresholds: Thresholds,
    groups: pd.DataFrame,
    *,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Evaluate each group of each slice.

    The labels that are defined differ from group to group, and with them the macro mean:
    compare a group with ``whole_set``, which is of all recordings over the same labels.

    Parameters
    ----------
    predictions
        Scores of the evaluation set.
    thresholds
        Chosen on the validation split.
    groups
        Group of each recording in each slice, in the order of the predictions, as
        `group_recordings` names them.
    n_resamples, seed
        Of the bootstrap over the patients of a group; each group starts from the seed.

    Returns
    -------
    DataFrame
        As `SLICE_METRICS` declares.

    Raises
    ------
    ValueError
        When the groups are not of as many recordings as the predictions.
    """
    if len(groups) != len(predictions):
        raise ValueError(f"groups has {len(groups)} rows for {len(predictions)} recordings.")
    everyone = np.ones(len(predictions), bool)
    whole = _bootstrap(predictions, thresholds, everyone, n_resamples, seed)
    tables = []
    for name in groups.columns:
        of_slice = groups[name].to_numpy()
        for group in order_groups(str(name), list(pd.unique(of_slice))):
            rows = of_slice == group
            found = whole
            if not rows.all():
                found = _bootstrap(predictions, thresholds, rows, n_resamples, seed)
            table = _tabulate(predictions, rows, found, whole)
            tables.append(table.assign(slice=name, group=group, n_resamples=n_resamples))
    columns = [column.name for column in SLICE_METRICS.columns]
    return pd.concat(tables, ignore_index=True)[columns] if tables else SLICE_METRICS.empty()


def macro_auroc_by_group(slices: pd.DataFrame) -> pd.DataFrame:
    """Pick the rows that a picture shows: the macro AUROC of each group."""
    chosen = slices[(slices["label"] == MACRO) & (slices["metric"] == "auroc")]
    return chosen.reset_index(drop=True)


def _bootstrap(
    predictions: Predictions,
    thresholds: Thresholds,
    rows: NDArray[np.bool_],
    n_resamples: int,
    seed: int,
) -> BootstrapIntervals:
    return bootstrap_by_patient(
        predictions.target[rows],
        predictions.score[rows],
        thresholds.values,
        predictions.subject_ids[rows],
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
    )


def _tabulate(
    predictions: Predictions,
    rows: NDArray[np.bool_],
    found: BootstrapIntervals,
    whole: BootstrapIntervals,
) -> pd.DataFrame:
    """Make a row of each label and macro, and each metric, of one group."""
    names = [*predictions.vocabulary.names, MACRO]
    n_labels, n_metrics = len(names) - 1, len(_COLUMNS)
    of_group, low, high, of_all = (
        array[: n_labels + 1, _COLUMNS]
        for array in (found.values, found.low, found.high, whole.values)
    )
    n, n_pos = int(rows.sum()), predictions.target[rows].sum(axis=0, dtype=np.int64)
    is_few = np.tile((np.minimum(n_pos, n - n_pos) < FEW)[:, None], n_metrics)
    defined = np.isfinite(of_group[:-1])
    count = defined.sum(axis=0)
    same = np.where(defined, of_all[:-1], 0.0).sum(axis=0)
    mean = np.divide(same, count, out=np.full(n_metrics, np.nan), where=count > 0)
    cells = {
        "value": of_group,
        "low": low,
        "high": high,
        "n_pos": np.vstack([np.tile(n_pos[:, None], n_metrics), n_pos @ defined]),
        "is_uncertain": np.vstack([is_few, (is_few & defined).any(axis=0) | (count == 0)]),
        "n_labels": np.vstack([defined.astype(np.int64), count]),
        "whole_set": np.vstack([np.where(defined, of_all[:-1], np.nan), mean]),
    }
    table = pd.DataFrame({name: cell.ravel() for name, cell in cells.items()})
    table["label"] = np.repeat(names, n_metrics)
    table["metric"] = np.tile(SLICE_METRIC_NAMES, len(names))
    table["n"], table["n_patients"] = n, len(np.unique(predictions.subject_ids[rows]))
    return table
