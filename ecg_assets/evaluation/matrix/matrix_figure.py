"""All cells of a matrix as a picture: a panel a source and label set, a row a model."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ecg_assets.evaluation.matrix.design import FULL, LINEAR_PROBE
from ecg_assets.evaluation.matrix.matrix_table import MACRO
from ecg_assets.figures import ACCENT, INK, MUTED, to_png

_LOOKS = {LINEAR_PROBE: ("o", ACCENT, 0.14), FULL: ("s", INK, -0.14)}
"""Marker, colour and height above the middle of its row, by method."""
_NAMES = {LINEAR_PROBE: "linear probe, frozen encoder", FULL: "fine-tuned"}
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
    shown = table[(table["label"] == MACRO) & (table["metric"] == "auroc")]
    models = list(dict.fromkeys(shown["model"]))
    columns = shown.groupby(["source", "label_set"], sort=False)
    panels = [(f"{source}\n{labels}", part) for (source, labels), part in columns]
    n_label_sets = shown["label_set"].nunique()
    n_columns = min(n_label_sets if n_label_sets > 1 else len(panels), _PANELS_PER_ROW)
    n_rows = math.ceil(len(panels) / n_columns)
    height = n_rows * (len(models) * _ROW + _FRAME) + 0.3
    figure = Figure(figsize=(1.9 + _PANEL * n_columns, height), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
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
            axes.hlines(height, row["low"], row["high"], color=color, lw=1.6)
            face = color if math.isfinite(row["low"]) else "white"
            axes.plot(row["value"], height, marker, color=color, markerfacecolor=face, ms=5.5)
        else:
            what = "missing" if row["verdict"] == "missing" else "undefined"
            text = f"{_NAMES[row['method']].split(',')[0]}: {what}"
            axes.text(max(start, 0.5) + 0.01, height, text, color=MUTED, va="center", fontsize=8)
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
    axes.set_xlim(start, 1.01)
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlabel("macro AUROC, 95 % interval", fontsize=9)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)


def _find_start(shown: pd.DataFrame) -> float:
    """Left end of all panels: the same, so that they compare."""
    lowest = np.nanmin([0.5, *shown["low"], *shown["value"]])
    return float(max(0.0, math.floor(lowest * 20 - 0.5) / 20))


def _name_model(shown: pd.DataFrame, model: str) -> str:
    weights = shown.loc[shown["model"] == model, "weights"].iloc[0]
    return f"{model}\n({weights})"


def _legend(shown: pd.DataFrame) -> list[Line2D]:
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
