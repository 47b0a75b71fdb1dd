"""The forest of an evaluation as PNG bytes, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.figures import ACCENT, INK, MUTED, to_png


def draw_auroc_forest(result: EvaluationResult) -> bytes:
    """Draw each label's AUROC with its interval, and the macro mean."""
    columns = ["auroc", "auroc_low", "auroc_high"]
    rows = result.labels.set_index("label")[columns].iloc[::-1]
    rows.loc["macro mean"] = [result.macro[name] for name in columns]
    figure = Figure(figsize=(8.5, 0.34 * len(rows) + 1.1), layout="constrained")
    axes = figure.subplots()
    colors = [INK if name == "macro mean" else ACCENT for name in rows.index]
    _draw_forest(axes, rows.to_numpy(np.float64), colors)
    axes.set_yticks(range(len(rows)), list(rows.index), fontsize=9)
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
    axes.set_xlabel("AUROC, 95 % interval (patients resampled)")
    return to_png(figure)


def _draw_forest(axes: Axes, rows: NDArray[np.float64], colors: Sequence[str]) -> None:
    """Draw a dot and an interval a row, ``(row, [value, low, high])``, from the bottom."""
    for y, ((value, low, high), color) in enumerate(zip(rows, colors, strict=True)):
        if np.isfinite(value):
            axes.plot([low, high], [y, y], color=color, linewidth=2, solid_capstyle="butt")
            axes.plot(value, y, "o", color=color, markersize=5)
        else:
            axes.text(0.5, y, "  undefined", color=MUTED, va="center", fontsize=8)
    finite = rows[np.isfinite(rows)]
    axes.set_xlim(min(0.5, *finite) - 0.02 if len(finite) else 0.48, 1.01)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
