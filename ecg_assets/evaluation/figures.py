"""Pictures of an evaluation as PNG bytes, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.figures import ACCENT, INK, MUTED, to_png
from ecg_assets.models.predictions import Predictions

COLUMNS = 6


def draw_roc_curves(predictions: Predictions, result: EvaluationResult) -> bytes:
    """Draw a small ROC curve a label, with its AUROC."""

    def draw(axes: Axes, label: int) -> None:
        x, y, _ = roc_curve(predictions.target[:, label], predictions.score[:, label])
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
        axes.plot(x, y, color=ACCENT, linewidth=1.6)

    return _small_multiples(result, draw, metric="auroc", labels=("1 − specificity", "sensitivity"))


def draw_precision_recall_curves(predictions: Predictions, result: EvaluationResult) -> bytes:
    """Draw a small precision–recall curve a label; the dashed line is the prevalence."""

    def draw(axes: Axes, label: int) -> None:
        target = predictions.target[:, label]
        precision, recall, _ = precision_recall_curve(target, predictions.score[:, label])
        axes.axhline(target.mean(), color=MUTED, linewidth=0.8, linestyle="--")
        axes.step(recall, precision, color=ACCENT, linewidth=1.6, where="post")

    return _small_multiples(
        result, draw, metric="auprc", labels=("recall (sensitivity)", "precision (PPV)")
    )


def draw_auroc_forest(result: EvaluationResult) -> bytes:
    """Draw each label's AUROC with its interval, and the macro mean."""
    table = result.labels.iloc[::-1]
    figure = Figure(figsize=(8.5, 0.34 * len(table) + 1.4), layout="constrained")
    axes = figure.subplots()
    names = [*table["label"], "macro mean"]
    values = [*table["auroc"], result.macro["auroc"]]
    lows = [*table["auroc_low"], result.macro["auroc_low"]]
    highs = [*table["auroc_high"], result.macro["auroc_high"]]
    for y, (value, low, high) in enumerate(zip(values, lows, highs, strict=True)):
        color = INK if y == len(table) else ACCENT
        if np.isfinite(value):
            axes.plot([low, high], [y, y], color=color, linewidth=2, solid_capstyle="butt")
            axes.plot(value, y, "o", color=color, markersize=5)
        else:
            axes.text(0.5, y, "  undefined", color=MUTED, va="center", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=9)
    finite = [low for low in lows if np.isfinite(low)]
    axes.set_xlim(min([0.5, *finite]) - 0.02, 1.01)
    axes.axvline(0.5, color=MUTED, linewidth=0.8, linestyle="--")
    axes.grid(axis="x", color="#e4e7eb", linewidth=0.8)
    axes.set_xlabel("AUROC, 95 % interval (patients resampled)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    return to_png(figure)


def _small_multiples(
    result: EvaluationResult,
    draw: Callable[[Axes, int], None],
    *,
    metric: str,
    labels: tuple[str, str],
) -> bytes:
    n_rows = -(-len(result.labels) // COLUMNS)
    figure = Figure(figsize=(2.1 * COLUMNS, 2.25 * n_rows + 0.4), layout="constrained")
    grid = np.atleast_1d(figure.subplots(n_rows, COLUMNS, sharex=True, sharey=True)).ravel()
    for axes in grid[len(result.labels) :]:
        axes.set_visible(False)
    for label, row in enumerate(result.labels.to_dict("records")):
        axes = grid[label]
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([0, 0.5, 1])
        axes.tick_params(labelsize=7)
        axes.set_title(_wrap(row["label"]), fontsize=8, color=INK)
        if np.isfinite(row["auroc"]):
            draw(axes, label)
            axes.text(
                0.97,
                0.06,
                f"{metric.upper()} {row[metric]:.3f}\nn⁺ {row['n_pos']}",
                ha="right",
                fontsize=7.5,
                color=INK,
            )
        else:
            axes.text(0.5, 0.5, f"undefined\nn⁺ {row['n_pos']}", ha="center", color=MUTED)
    figure.supxlabel(labels[0], fontsize=9)
    figure.supylabel(labels[1], fontsize=9)
    return to_png(figure)


def _wrap(name: str, width: int = 24) -> str:
    """Break a long name into two lines at a space."""
    if len(name) <= width:
        return name
    cut = name.rfind(" ", 0, width + 1)
    return f"{name[:cut]}\n{name[cut + 1 :]}" if cut > 0 else name
