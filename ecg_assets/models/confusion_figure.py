"""A picture of the confusion matrix of exclusive classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecg_assets.figures import INK, to_png


def draw_confusion_matrix(confusion: pd.DataFrame) -> bytes:
    """Draw counts and percent of the true class, which also colours the cells.

    Parameters
    ----------
    confusion
        As `confusion_matrix_table` gives it.
    """
    counts = confusion.to_numpy(np.float64)
    share = _share_of_row(counts)
    names = list(confusion.index)
    side = 1.6 + 0.85 * len(names)
    figure = Figure(figsize=(side + 0.8, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.nan_to_num(share), cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        part = share[row, column]
        percent = "–" if np.isnan(part) else f"{100 * part:.0f} %"
        color = "white" if part > 0.55 else INK
        axes.text(
            column, row, f"{count:,.0f}\n{percent}",
            ha="center", va="center", fontsize=9, color=color,
        )  # fmt: skip
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=9)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    axes.set_xlabel("called class")
    axes.set_ylabel("true class")
    axes.tick_params(length=0)
    return to_png(figure)


def _share_of_row(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each true class; NaN of a class that no recording has."""
    total = counts.sum(axis=1, keepdims=True)
    share: NDArray[np.float64] = np.full(counts.shape, np.nan)
    np.divide(counts, total, out=share, where=total > 0)
    return share
