"""Picture of a lead degradation: AUROC over fewer and fewer leads."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from ecg_assets.evaluation.leads.lead_sets import LEAD_SETS
from ecg_assets.figures import ACCENT, INK, LIGHT, MUTED, to_png

NAMES = [lead_set.name for lead_set in LEAD_SETS]


def draw_lead_degradation(table: pd.DataFrame) -> bytes:
    """Draw the macro AUROC with its interval, and each label's, over the configurations.

    Parameters
    ----------
    table
        As `LEAD_DEGRADATION` declares. Where a configuration was not run, its reason stands.
    """
    figure = Figure(figsize=(9.5, 5), layout="constrained")
    axes = figure.subplots()
    auroc = table[table["metric"] == "auroc"]
    labels, macro = auroc[auroc["label"] != "macro"], auroc[auroc["label"] == "macro"]
    lowest = np.nanmin([0.5, *auroc["value"].astype(float), *macro["low"].astype(float)])
    axes.set_ylim(float(lowest) - 0.03, 1.02)
    curves = {
        str(label): rows.set_index("leads")["value"].reindex(NAMES).to_numpy(float)
        for label, rows in labels.groupby("label", sort=False)
    }
    for values in curves.values():
        axes.plot(values, color=LIGHT, linewidth=1, marker="o", markersize=3)
    _name_curves(axes, curves)
    _draw_macro(axes, macro.set_index("leads").reindex(NAMES))
    axes.axhline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(NAMES)), NAMES)
    axes.set_xlim(-0.45, len(NAMES) + 0.55)
    axes.set_ylabel("AUROC; dark: macro mean with its 95 % interval")
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    return to_png(figure)


def _draw_macro(axes: Axes, macro: pd.DataFrame) -> None:
    values, x = macro["value"].to_numpy(float), np.arange(len(macro))
    low, high = macro["low"].to_numpy(float), macro["high"].to_numpy(float)
    axes.vlines(x, low, high, color=INK, linewidth=2.4, zorder=3)
    axes.plot(x, values, color=ACCENT, linewidth=2, marker="o", markersize=6, zorder=4)
    for at, (value, reason) in enumerate(zip(values, macro["undefined"], strict=True)):
        if np.isfinite(value):
            axes.annotate(
                f"{value:.3f}",
                (at, value),
                (-9, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                color=INK,
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
                zorder=5,
            )
        else:
            text = textwrap.fill(str(reason or "undefined"), 24)
            axes.text(at, 0.75, text, color=MUTED, ha="center", va="center", fontsize=8)


def _name_curves(axes: Axes, curves: dict[str, NDArray[np.float64]]) -> None:
    """Write the labels' names beside the last points, far enough apart to be read."""
    ends = {
        label: (int(np.flatnonzero(np.isfinite(values))[-1]), values)
        for label, values in curves.items()
        if np.isfinite(values).any()
    }
    ordered = sorted(ends, key=lambda label: ends[label][1][ends[label][0]])
    heights = np.array([ends[label][1][ends[label][0]] for label in ordered])
    for label, end, at in zip(ordered, heights, _spread(heights, *axes.get_ylim()), strict=True):
        x = ends[label][0]
        axes.plot([x + 0.04, x + 0.16], [end, at], color=LIGHT, linewidth=0.6)
        axes.text(x + 0.18, at, label, color=INK, fontsize=7, va="center")


def _spread(heights: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Move ascending heights apart by at least a line of text, as little as that takes."""
    if not len(heights):
        return heights
    step = min(0.033 * (high - low), (high - low) / len(heights))
    steps = step * np.arange(len(heights))
    # Isotonic regression of what is left after equal steps: the pool-adjacent-violators rule.
    spread = isotonic_regression(heights - steps) + steps
    shift = min(0.0, high - step / 2 - spread[-1]) + max(0.0, low + step / 2 - spread[0])
    moved: NDArray[np.float64] = spread + shift
    return moved
