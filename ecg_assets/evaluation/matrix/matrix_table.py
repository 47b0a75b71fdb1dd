"""All cells of a matrix in one table, those that are missing by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation.comparison import compare_predictions
from ecg_assets.evaluation.leaderboard import find_compared_labels, judge_difference
from ecg_assets.evaluation.matrix.design import Cell
from ecg_assets.evaluation.matrix.stored_cell import MissingCell, StoredCell
from ecg_assets.tables import Column, TableSchema

MACRO, METRICS_SHOWN = "macro", ("auroc", "auprc")
BEST = "best"

EVALUATION_MATRIX = TableSchema(
    "evaluation_matrix",
    (
        Column("model", pa.string(), "model, as the design names it"),
        Column("method", pa.string(), "linear-probe or full"),
        Column("source", pa.string(), "dataset that it is trained and tested on"),
        Column("label_set", pa.string(), "labels that it is trained for"),
        Column("label", pa.string(), "label, or macro: the mean over those that are defined"),
        Column("metric", pa.string(), "auroc or auprc"),
        Column("value", pa.float64(), "value on the test split", nullable=True),
        Column("low", pa.float64(), "lower end of its 95 % interval", nullable=True),
        Column("high", pa.float64(), "upper end of its 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings of the test split"),
        Column("n_pos", pa.int64(), "positive ones; in macro the sum over its labels"),
        Column("difference", pa.float64(), "value minus the column's best cell's", nullable=True),
        Column("difference_low", pa.float64(), "lower end, paired by patient", nullable=True),
        Column("difference_high", pa.float64(), "upper end, paired by patient", nullable=True),
        Column(
            "verdict",
            pa.string(),
            "best (highest macro auroc of its source and label set), worse, not distinguishable "
            "(the interval holds 0), better, no interval, not compared, missing",
        ),
        Column("undefined", pa.string(), "what is undefined about it, and why", nullable=True),
        Column("weights", pa.string(), "what the model starts from"),
        Column("seen_before", pa.string(), "test patients in earlier training", nullable=True),
        Column("fingerprint", pa.string(), "of the weights that scored", nullable=True),
    ),
)

_DIFFERENCE = ("difference", "difference_low", "difference_high")


def tabulate_matrix(
    cells: Mapping[Cell, StoredCell | MissingCell], *, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Put all cells into one table, in their order.

    Parameters
    ----------
    cells
        Those of the design, evaluated or missing.
    n_resamples, seed
        Of the paired differences from the best cell of each source and label set.

    Returns
    -------
    DataFrame
        `EVALUATION_MATRIX`. A missing cell has the rows of ``macro``, undefined with its reason.
    """
    best_of = find_best(cells)
    tables = []
    for cell, found in cells.items():
        if isinstance(found, MissingCell):
            tables.append(_tabulate_missing(cell, found))
            continue
        best = best_of.get(cell.column)
        differences = _compare(found, best, n_resamples=n_resamples, seed=seed)
        table = _tabulate_cell(found).merge(
            differences, on=["label", "metric"], how="left", validate="one_to_one"
        )
        rows = table[list(_DIFFERENCE)].to_dict("records")
        table["verdict"] = [BEST if found is best else _judge(row) for row in rows]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)[[c.name for c in EVALUATION_MATRIX.columns]]


def find_best(cells: Mapping[Cell, StoredCell | MissingCell]) -> dict[str, StoredCell]:
    """Find the cell with the highest macro AUROC of each column, the first of equal ones."""
    best: dict[str, StoredCell] = {}
    for cell, found in cells.items():
        if isinstance(found, MissingCell) or not np.isfinite(found.result.macro["auroc"]):
            continue
        champion = best.get(cell.column)
        if champion is None or found.result.macro["auroc"] > champion.result.macro["auroc"]:
            best[cell.column] = found
    return best


def _tabulate_cell(stored: StoredCell) -> pd.DataFrame:
    table = stored.result.to_table()
    shown = [*stored.result.labels["label"], MACRO]
    table = table[table["label"].isin(shown) & table["metric"].isin(METRICS_SHOWN)]
    facts = stored.facts
    return table.assign(
        **_names(facts.cell),
        weights=facts.weights,
        seen_before=facts.seen_before or None,
        fingerprint=facts.fingerprint,
    )


def _compare(
    stored: StoredCell, best: StoredCell | None, *, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Subtract the best cell's metrics: ``label, metric`` and the difference with its interval."""
    columns = ["label", "metric", *_DIFFERENCE]
    nothing = pd.DataFrame(columns=columns).astype(dict.fromkeys(_DIFFERENCE, np.float64))
    if best is None or best is stored:
        return nothing
    labels = find_compared_labels([stored.result, best.result])
    try:
        table = compare_predictions(
            stored.predictions, best.predictions, n_resamples=n_resamples, seed=seed, labels=labels
        )
    except SpecMismatch:  # no label in both, or other targets: the verdict says "not compared"
        return nothing
    renamed = table.rename(columns={"low": "difference_low", "high": "difference_high"})
    return renamed[renamed["metric"].isin(METRICS_SHOWN)][columns]


def _judge(row: Mapping[Any, Any]) -> str:
    if not np.isfinite(row["difference"]):
        return "not compared"
    return judge_difference(float(row["difference_low"]), float(row["difference_high"]))


def _tabulate_missing(cell: Cell, missing: MissingCell) -> pd.DataFrame:
    row: dict[str, Any] = {
        **_names(cell),
        **dict.fromkeys(("value", "low", "high", *_DIFFERENCE), np.nan),
        **{"label": MACRO, "n": 0, "n_pos": 0, "verdict": "missing"},
        **{"undefined": missing.reason, "weights": missing.weights},
        **dict.fromkeys(("seen_before", "fingerprint")),
    }
    return pd.DataFrame([{**row, "metric": metric} for metric in METRICS_SHOWN])


def _names(cell: Cell) -> dict[str, str]:
    return {
        "model": cell.model,
        "method": cell.method,
        "source": cell.source,
        "label_set": cell.label_set,
    }
