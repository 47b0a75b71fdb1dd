"""Pictures of slices and of drift as PNG bytes, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ecg_assets.evaluation.shift.drift import SHIFTED, UNSTABLE
from ecg_assets.evaluation.shift.slices import macro_auroc_by_group
from ecg_assets.figures import ACCENT, INK, MUTED, to_png

_GRID = "#e4e7eb"
_LEVELS = ListedColormap(["#f4f6f8", "#fbe3b5", "#e88b5a"])
_MOST_COLUMNS = 60
"""Groups in a panel of drift; of more, those farthest above chance are shown."""

_MOST_COLUMNS_WITH_NUMBERS = 20


def draw_slice_forest(slices: pd.DataFrame) -> bytes:
    """Draw each group's macro AUROC with its interval, and that of all recordings beside it.

    Slices that put all recordings into one group are left out, but for the first.

    Parameters
    ----------
    slices
        As `SLICE_METRICS` declares.
    """
    rows = macro_auroc_by_group(slices)
    n_groups = rows.groupby("slice")["group"].transform("size")
    rows = rows[(n_groups > 1) | (rows["slice"] == "all")]
    first = ~rows["slice"].duplicated()
    y = -(np.arange(len(rows)) + np.cumsum(first.to_numpy()) * 0.9)
    figure = Figure(figsize=(9, 0.24 * -y[-1] + 1.5), layout="constrained")
    axes = figure.subplots()
    for place, row in zip(y, rows.to_dict("records"), strict=True):
        _draw_group(axes, place, row)
    for place, name in zip(y[first], rows.loc[first, "slice"], strict=True):
        _draw_heading(axes, place + 0.95, str(name).replace("_", " "))
    counts = zip(rows["group"], rows["n"], rows["n_labels"], strict=True)
    names = [f"{group}  ({n:,} · {n_labels})" for group, n, n_labels in counts]
    axes.set_yticks(y, names, fontsize=8)
    axes.tick_params(length=0)
    known = rows[["value", "low", "whole_set"]].min().min()
    axes.set_xlim(min(0.9, known if np.isfinite(known) else 0.5) - 0.02, 1.01)
    axes.set_ylim(y[-1] - 0.8, y[0] + 1.6)
    axes.grid(axis="x", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("macro AUROC, 95 % interval (patients resampled); in brackets: n · labels")
    axes.spines[["top", "right", "left"]].set_visible(False)
    _add_legend(figure)
    return to_png(figure)


def draw_drift(drift: pd.DataFrame) -> bytes | None:
    """Draw the index of each quantity (row) and group (column), a panel a comparison.

    Colour follows the rule of thumb, for an index above chance alone: small groups differ
    without drift. None for a table without rows.

    Parameters
    ----------
    drift
        As `DRIFT` declares.
    """
    if drift.empty:
        return None
    parts = [(str(name), part) for name, part in drift.groupby("comparison", sort=False)]
    panels = [(name, _pivot(part, "psi"), _pivot(part, "chance_limit")) for name, part in parts]
    quantities, widths = panels[0][1].index, [table.shape[1] for _, table, _ in panels]
    size = (4.6 + 0.42 * sum(widths), 0.21 * len(quantities) + 2.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=widths)[0]
    for axes, (name, index, limit) in zip(grid, panels, strict=True):
        image = _draw_panel(axes, index, limit)
        against = "train" if name == "split" else "others"
        axes.set_title(f"{name}\nagainst\n{against}", fontsize=8, color=INK, loc="left")
    grid[0].set_yticks(np.arange(len(quantities)) + 0.5, quantities, fontsize=7.5)
    grid[0].invert_yaxis()
    bar = figure.colorbar(image, ax=grid, shrink=0.4, aspect=12, ticks=[UNSTABLE, SHIFTED])
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
    bar.set_label("PSI above chance; grey within it", fontsize=8)
    return to_png(figure)


def _draw_group(axes: Axes, place: float, row: Mapping[Hashable, Any]) -> None:
    if not np.isfinite(row["value"]):
        where = axes.get_yaxis_transform()
        axes.text(0.01, place, "undefined", transform=where, color=MUTED, va="center", fontsize=7.5)
        return
    color = MUTED if row["is_uncertain"] else ACCENT
    has_interval = bool(np.isfinite(row["low"]))
    if has_interval:
        axes.plot([row["low"], row["high"]], [place] * 2, color=color, linewidth=2)
    axes.plot([row["whole_set"]] * 2, [place - 0.35, place + 0.35], color=INK, linewidth=1.2)
    fill = color if has_interval else "white"
    axes.plot(row["value"], place, "o", color=color, markerfacecolor=fill, markersize=5)


def _draw_heading(axes: Axes, place: float, name: str) -> None:
    axes.text(
        -0.005,
        place,
        name,
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=8.5,
        fontweight="bold",
        color=INK,
    )


def _add_legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=ACCENT, marker="o", linewidth=2, markersize=5),
        Line2D([], [], color=MUTED, marker="o", linewidth=2, markersize=5),
        Line2D([], [], color=MUTED, marker="o", linewidth=0, markersize=5, markerfacecolor="white"),
        Line2D([], [], color=INK, marker="|", linewidth=0, markersize=9),
    ]
    names = [
        "group",
        "a label has < 20 positives or negatives",
        "too few for an interval",
        "all recordings, same labels",
    ]
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=8, frameon=False)


def _draw_panel(axes: Axes, index: pd.DataFrame, limit: pd.DataFrame) -> QuadMesh:
    """Draw one comparison; the numbers stand in the cells where there are few columns."""
    if index.shape[1] > _MOST_COLUMNS:
        kept = set((index / limit).max().nlargest(_MOST_COLUMNS).index)
        index = index[[name for name in index.columns if name in kept]]
    shown = index.to_numpy()
    is_above = shown > limit[index.columns].to_numpy()
    norm = BoundaryNorm([0, UNSTABLE, SHIFTED, 10], _LEVELS.N)
    cells = np.where(is_above, shown, 0.0)
    image = axes.pcolormesh(cells, cmap=_LEVELS, norm=norm, edgecolors="white")
    axes.set_xticks(np.arange(index.shape[1]) + 0.5, index.columns, rotation=90, fontsize=7.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if index.shape[1] <= _MOST_COLUMNS_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(shown):
            color = INK if is_above[row, column] else MUTED
            place = (column + 0.5, row + 0.5)
            axes.annotate(f"{value:.2f}", place, ha="center", va="center", fontsize=6, color=color)
    return image


def _pivot(part: pd.DataFrame, column: str) -> pd.DataFrame:
    """Quantities by groups, in the order of the table."""
    rows, groups = part["quantity"].unique(), part["group"].unique()
    table = part.pivot(index="quantity", columns="group", values=column)
    return table.loc[rows, groups]
