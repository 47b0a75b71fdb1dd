"""The leaderboard as a picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_assets.figures import ACCENT, INK, MUTED, to_png

_ROW, _FRAME = 0.34, 1.0  # inches


def draw_leaderboard(table: pd.DataFrame) -> bytes | None:
    """Draw each checkpoint's macro AUROC with its interval, set by set, the champion as a star.

    Parameters
    ----------
    table
        `LEADERBOARD`.

    Returns
    -------
    bytes or None
        A PNG; None when no checkpoint has a macro AUROC.
    """
    shown = table[table["macro_auroc"].notna()]
    if shown.empty:
        return None
    sets = [(str(name), rows) for name, rows in shown.groupby("evaluation_set", sort=True)]
    heights = [len(rows) * _ROW + _FRAME for _, rows in sets]
    figure = Figure(figsize=(8.5, sum(heights)), layout="constrained")
    grid = figure.subplots(len(sets), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, (name, rows) in zip(grid[:, 0], sets, strict=True):
        _draw_set(axes, name, rows)
    return to_png(figure)


def _draw_set(axes: Axes, name: str, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))[::-1]
    labels = []
    for place, (_, row) in zip(places, rows.iterrows(), strict=True):
        is_champion = bool(row["is_champion"])
        color = ACCENT if is_champion else INK
        axes.hlines(place, row["macro_auroc_low"], row["macro_auroc_high"], color=color, lw=1.6)
        marker, size = ("*", 12) if is_champion else ("o", 5)
        axes.plot(row["macro_auroc"], place, marker, color=color, markersize=size)
        labels.append(f"{row['checkpoint']}\n{row['verdict']}")
    axes.set_yticks(places, labels, fontsize=8.5)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    n_labels = int(rows["n_labels"].iloc[0])
    axes.set_title(f"{name}, {n_labels} labels", loc="left", fontsize=9.5, color=INK)
    axes.set_xlabel("macro AUROC, 95 % interval (patients resampled)", fontsize=9)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(MUTED)
