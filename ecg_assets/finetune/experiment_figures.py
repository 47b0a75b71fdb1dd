"""Pictures of a cross-validation and of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecg_assets.figures import ACCENT, INK, MUTED, to_png
from ecg_assets.finetune.cross_validation import MACRO, MEAN, SD


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
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(order)), layout="constrained")
    axes = figure.subplots()
    axes.plot(dots["value"], dots["label"].map(places), "o", color=ACCENT, alpha=0.6, label="fold")
    y = np.arange(len(order))
    values = mean.reindex(order).to_numpy(float)
    axes.vlines(values, y - 0.35, y + 0.35, color=INK, linewidth=2, label="mean over folds")
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
    axes.set_yticks(y, order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlabel("AUROC on the held-out fold")
    axes.grid(axis="x", color="#e4e7eb")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    return to_png(figure)


def draw_grid(table: pd.DataFrame) -> bytes:
    """Draw the validation loss as a heat map, with the macro AUROC; the best is framed.

    Parameters
    ----------
    table
        As `GRID_SEARCH` declares.
    """
    keys = {"index": "learning_rate", "columns": "batch_size"}
    loss = table.astype({"valid_loss": float}).pivot(values="valid_loss", **keys)
    height, width = loss.shape
    figure = Figure(figsize=(1.6 + 1.5 * width, 1.4 + 0.8 * height), layout="constrained")
    axes = figure.subplots()
    low, high = np.nanmin(loss), np.nanmax(loss)
    # The lighter half of the colours: the numbers stand on them.
    highest = high + max(high - low, 1e-9)
    colors = colormaps["Blues"].with_extremes(bad="#e4e7eb")
    masked = np.ma.masked_invalid(loss.to_numpy())
    axes.imshow(masked, cmap=colors, aspect="auto", vmin=low, vmax=highest)
    sizes, rates = list(loss.columns), list(loss.index)
    for row in table.to_dict("records"):
        x, y = sizes.index(row["batch_size"]), rates.index(row["learning_rate"])
        axes.text(x, y, _cell(row), ha="center", va="center", color=INK, fontsize=9)
        if row["is_best"]:
            frame = Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor="#C2571A")
            frame.set_linewidth(2.5)
            axes.add_patch(frame)
    axes.set_xticks(range(width), [str(size) for size in sizes])
    axes.set_yticks(range(height), [f"{rate:g}" for rate in rates])
    axes.set_xlabel("batch size")
    axes.set_ylabel("learning rate")
    title = "validation loss and macro AUROC\nframed: lowest loss; darker: higher"
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    return to_png(figure)


def _cell(row: dict[Any, Any]) -> str:
    """Two lines: loss and AUROC; or that it was not trained."""
    if pd.isna(row["valid_loss"]):
        return "not trained"
    auroc = row["valid_macro_auroc"]
    shown = "undefined" if pd.isna(auroc) else f"{auroc:.3f}"
    return f"loss {row['valid_loss']:.4g}\nAUROC {shown}"
