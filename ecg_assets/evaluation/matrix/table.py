"""All cells of a matrix in one table, those that are missing by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation.comparison import compare_predictions
from ecg_assets.evaluation.leaderboard import TOO_FEW, find_compared_labels, judge_difference
from ecg_assets.evaluation.matrix.design import (
    ALL_METHODS,
    ATTENTION_PROBE,
    FULL,
    LOGISTIC_REGRESSION,
    Cell,
)
from ecg_assets.evaluation.matrix.stored import MissingCell, StoredCell
from ecg_assets.figures import (
    ACCENT,
    DASHED,
    INK,
    MUTED,
    draw_interval,
    make_figure,
    to_png,
)
from ecg_assets.metrics.metrics import (
    MACRO,
    Place,
    best_first,
    pick_macro,
    shown_in,
    tabulate_missing,
)
from ecg_assets.tables import Column, TableSchema

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

BEST = "best"

EVALUATION_MATRIX = TableSchema(
    "evaluation_matrix",
    (
        Column("model", pa.string(), "model, as the design names it"),
        Column("method", pa.string(), " or ".join(ALL_METHODS)),
        Column("source", pa.string(), "dataset that it is trained and tested on"),
        Column("label_set", pa.string(), "labels that it is trained for"),
        Column("label", pa.string(), "label, or macro: the mean over those that are defined"),
        Column("metric", pa.string(), " or ".join(shown_in(Place.MATRIX))),
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
            f"(the interval holds 0), better, no interval, not compared, {TOO_FEW}, missing",
        ),
        Column("undefined", pa.string(), "what is undefined about it, and why", nullable=True),
        Column("weights", pa.string(), "what the model starts from"),
        Column("seen_before", pa.string(), "test patients in earlier training", nullable=True),
        Column("weights_sha256", pa.string(), "of the weights that scored", nullable=True),
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
        if found.result.is_too_small:
            table["verdict"] = TOO_FEW
        tables.append(table)
    return pd.concat(tables, ignore_index=True)[[c.name for c in EVALUATION_MATRIX.columns]]


def find_best(cells: Mapping[Cell, StoredCell | MissingCell]) -> dict[str, StoredCell]:
    """Find the cell with the highest macro AUROC of each column, the first of equal ones."""
    columns: dict[str, list[StoredCell]] = {}
    for cell, found in cells.items():
        if isinstance(found, StoredCell) and np.isfinite(found.result.macro["auroc"]):
            columns.setdefault(cell.column, []).append(found)
    return {
        name: members[best_first([one.result.macro["auroc"] for one in members])[0]]
        for name, members in columns.items()
    }


def _tabulate_cell(stored: StoredCell) -> pd.DataFrame:
    table = stored.result.to_table()
    shown = [*stored.result.labels["label"], MACRO]
    table = table[table["label"].isin(shown) & table["metric"].isin(shown_in(Place.MATRIX))]
    facts = stored.facts
    return table.assign(
        **_names(facts.cell),
        weights=facts.weights,
        seen_before=facts.seen_before or None,
        weights_sha256=facts.weights_sha256,
    )


def _compare(
    stored: StoredCell, best: StoredCell | None, *, n_resamples: int, seed: int
) -> pd.DataFrame:
    """Subtract the best cell's metrics: ``label, metric`` and the difference with its interval."""
    columns = ["label", "metric", *_DIFFERENCE]
    nothing = pd.DataFrame(columns=columns).astype(dict.fromkeys(_DIFFERENCE, np.float64))
    if best is None or best is stored or stored.result.is_too_small:
        return nothing
    labels = find_compared_labels([stored.result, best.result])
    try:
        table = compare_predictions(
            stored.predictions, best.predictions, n_resamples=n_resamples, seed=seed, labels=labels
        )
    except SpecMismatch:  # no label in both, or other targets: the verdict says "not compared"
        return nothing
    renamed = table.rename(columns={"low": "difference_low", "high": "difference_high"})
    return renamed[renamed["metric"].isin(shown_in(Place.MATRIX))][columns]


def _judge(row: Mapping[Any, Any]) -> str:
    if not np.isfinite(row["difference"]):
        return "not compared"
    return judge_difference(float(row["difference_low"]), float(row["difference_high"]))


def _tabulate_missing(cell: Cell, missing: MissingCell) -> pd.DataFrame:
    table = tabulate_missing(shown_in(Place.MATRIX), missing.reason).assign(**_names(cell))
    table[list(_DIFFERENCE)] = np.nan
    table[["seen_before", "weights_sha256"]] = None
    return table.assign(verdict="missing", weights=missing.weights)


def _names(cell: Cell) -> dict[str, str]:
    return {
        "model": cell.model,
        "method": cell.method,
        "source": cell.source,
        "label_set": cell.label_set,
    }


# All cells as a picture: a panel a source and label set, a row a model.


_LOOKS = {
    LOGISTIC_REGRESSION: ("o", ACCENT, 0.14),
    FULL: ("s", INK, -0.14),
    ATTENTION_PROBE: ("D", MUTED, -0.34),
}
"""Marker, colour and height above the middle of its row, by method."""
_NAMES = {
    LOGISTIC_REGRESSION: "logistic regression, frozen encoder",
    FULL: "fine-tuned",
    ATTENTION_PROBE: "attention pooling, frozen encoder",
}
_PANELS_PER_ROW, _PANEL, _ROW, _FRAME = 3, 3.6, 0.62, 1.15  # inches


def draw_matrix(table: pd.DataFrame) -> bytes:
    """Draw the macro AUROC of each cell with its 95 % interval; missing cells say so.

    Parameters
    ----------
    table
        `EVALUATION_MATRIX`.

    Returns
    -------
    bytes
        A PNG, the same bytes for the same numbers.
    """
    shown = pick_macro(table)
    models = list(dict.fromkeys(shown["model"]))
    columns = shown.groupby(["source", "label_set"], sort=False)
    panels = [(f"{source}\n{labels}", part) for (source, labels), part in columns]
    n_label_sets = shown["label_set"].nunique()
    n_columns = min(n_label_sets if n_label_sets > 1 else len(panels), _PANELS_PER_ROW)
    n_rows = math.ceil(len(panels) / n_columns)
    height = n_rows * (len(models) * _ROW + _FRAME) + 0.3
    figure, grid = make_figure(
        1.9 + _PANEL * n_columns, height, n_rows, n_columns, lines="x", is_list=True, sharey=True
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    start = _find_start(shown)
    for axes, (title, part) in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, part, models, start)
        axes.set_title(title, loc="left", fontsize=9.5, color=INK)
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(models)), [_name_model(shown, m) for m in models], fontsize=9)
    figure.legend(handles=_legend(shown), loc="outside lower center", ncols=3, fontsize=8.5)
    return to_png(figure)


def _draw_panel(axes: Axes, part: pd.DataFrame, models: list[str], start: float) -> None:
    for row in part.to_dict("records"):
        marker, color, offset = _LOOKS[row["method"]]
        height = models.index(row["model"]) - offset  # the axis points down
        if math.isfinite(row["value"]):
            ends = (row["value"], row["low"], row["high"])
            draw_interval(axes, height, ends, color, marker=marker)
        else:
            what = "missing" if row["verdict"] == "missing" else "undefined"
            text = f"{_NAMES[row['method']].split(',')[0]}: {what}"
            axes.text(max(start, 0.5) + 0.01, height, text, color=MUTED, va="center", fontsize=8)
    axes.axvline(0.5, **DASHED)
    axes.set_xlim(start, 1.01)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlabel("macro AUROC, 95 % interval", fontsize=9)


def _find_start(shown: pd.DataFrame) -> float:
    """Left end of all panels: the same, so that they compare."""
    lowest = np.nanmin([0.5, *shown["low"], *shown["value"]])
    return float(max(0.0, math.floor(lowest * 20 - 0.5) / 20))


def _name_model(shown: pd.DataFrame, model: str) -> str:
    weights = shown.loc[shown["model"] == model, "weights"].iloc[0]
    return f"{model}\n({weights})"


def _legend(shown: pd.DataFrame) -> list[Line2D]:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=marker, color=color, ms=5.5, lw=1.6, label=_NAMES[method])
        for method, (marker, color, _) in _LOOKS.items()
        if method in set(shown["method"])
    ]
    if (shown["value"].notna() & shown["low"].isna()).any():
        none = Line2D([], [], marker="o", color=MUTED, markerfacecolor="white", ms=5.5, lw=0)
        none.set_label("no interval: too few patients")
        handles.append(none)
    return handles
