"""A picture of losses and AUROC by epoch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_TRAIN = "#5B6770"
_VALID = "#0B6E99"
_TEST = "#C2571A"


def draw_curves(history: pd.DataFrame, path: Path) -> None:
    """Write a PNG of training, validation and test loss, and of validation and test AUROC.

    The test split has a curve only where it was measured.

    Parameters
    ----------
    history
        As `ecg_assets.finetune.history.history_frame` gives it, a row an epoch.
    path
        File to write.
    """
    # A Figure of its own, without pyplot: no display, no state between pictures.
    figure = Figure(figsize=(9, 3.6), dpi=120, layout="constrained")
    loss, auroc = figure.subplots(1, 2)
    best = history.iloc[int(history["valid_loss"].argmin())]
    _draw(loss, history, "train_loss", "training", _TRAIN)
    _draw(loss, history, "valid_loss", "validation", _VALID)
    loss.set_ylabel("cross entropy")
    _draw(auroc, history, "valid_macro_auroc", "validation", _VALID)
    auroc.set_ylabel("macro AUROC")
    if history["test_loss"].notna().any():
        _draw(loss, history, "test_loss", "test", _TEST)
        _draw(auroc, history, "test_macro_auroc", "test", _TEST)
    for axes, column in ((loss, "valid_loss"), (auroc, "valid_macro_auroc")):
        axes.plot(
            best["epoch"], best[column], "o", color=_VALID, markersize=9, markerfacecolor="none",
            label=f"best epoch {best['epoch']:.0f}: {best[column]:.3f}",
        )  # fmt: skip
        axes.legend(frameon=False)
    figure.savefig(path, format="png")


def _draw(axes: Axes, history: pd.DataFrame, column: str, label: str, color: str) -> None:
    axes.plot(history["epoch"], history[column], ".-", color=color, label=label)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
