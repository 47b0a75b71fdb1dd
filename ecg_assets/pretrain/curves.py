"""A picture of the loss, its terms and the codebook's use by epoch."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_TRAIN = "#5B6770"
_VALID = "#0B6E99"
_PANELS = {
    "loss": "loss per masked token",
    "contrastive": "contrastive term",
    "masked_prediction": "masked prediction of codes",
    "cmsc": "patients' contrast (CMSC)",
    "diversity": "unused share of the codebook",
    "feature_penalty": "feature penalty",
    "code_perplexity": "codes in use (perplexity)",
}


def draw_curves(history: pd.DataFrame, path: Path) -> None:
    """Write a PNG of the loss, of its terms without their weights, and of the codes in use.

    Parameters
    ----------
    history
        As `ecg_assets.pretrain.history.history_frame` gives it, a row an epoch.
    path
        File to write.
    """
    # A Figure of its own, without pyplot: no display, no state between pictures.
    panels = {name: title for name, title in _PANELS.items() if f"train_{name}" in history}
    n_columns = math.ceil(len(panels) / 2)
    figure = Figure(figsize=(3.5 * n_columns, 6), dpi=120, layout="constrained")
    free = list(figure.subplots(2, n_columns).flat)
    for name, title in panels.items():
        axes = free.pop(0)
        _draw(axes, history, f"train_{name}", "training", _TRAIN)
        _draw(axes, history, f"valid_{name}", "validation", _VALID)
        axes.set_ylabel(title)
    figure.axes[0].legend(frameon=False)
    for axes in free:
        axes.remove()
    figure.savefig(path, format="png")


def _draw(axes: Axes, history: pd.DataFrame, column: str, label: str, color: str) -> None:
    axes.plot(history["epoch"], history[column], ".-", color=color, label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
