"""Pictures of exclusive classes as PNG bytes: metrics and ROC curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_curve

from ecg_assets.evaluation.number_format import format_number
from ecg_assets.figures import ACCENT, INK, LIGHT, MUTED, to_png
from ecg_assets.models.predictions import Predictions

_COLORS = ("#1a6fb5", "#c2571a", "#2f7d4f", "#8a4fb0", "#b8912a", "#c0405f", "#3a8f9e", "#6b7680")
_DASHES = ("-", "--", ":", "-.")


def draw_class_metrics(performance: pd.DataFrame) -> bytes:
    """Draw precision, recall and F1 of each class; what is undefined is named so.

    Parameters
    ----------
    performance
        Rows of classes of `ClassResults.performance`, without the averages.
    """
    names = performance["Condition"].tolist()
    figure = Figure(figsize=(2 + 1.1 * len(names), 3.8), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(names))
    for i, (column, color) in enumerate(
        zip(("Precision", "Recall", "F1-Score"), (LIGHT, ACCENT, INK), strict=True)
    ):
        values = performance[column].to_numpy(np.float64)
        place = at + 0.26 * (i - 1)
        axes.bar(place, np.nan_to_num(values), 0.24, color=color, label=column)
        for x in place[np.isnan(values)]:
            axes.text(
                x, 0.02, "undefined", rotation=90, fontsize=7.5, color=MUTED, ha="center"
            )  # fmt: skip
    support = performance["Support"].tolist()
    labels = [f"{name}\nn {n:,}" for name, n in zip(names, support, strict=True)]
    axes.set_xticks(at, labels, rotation=30, ha="right", fontsize=9)
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return to_png(figure)


def draw_class_roc_curves(kept: Predictions) -> bytes:
    """Draw the ROC curve of each class against all others.

    Parameters
    ----------
    kept
        Recordings with exactly one class.
    """
    figure = Figure(figsize=(7.6, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=":")
    for i, name in enumerate(kept.vocabulary.names):
        target, score = kept.target[:, i], kept.score[:, i]
        color, dash = _COLORS[i % len(_COLORS)], _DASHES[i // len(_COLORS) % len(_DASHES)]
        if 0 < target.sum() < len(target):
            x, y, _ = roc_curve(target, score)
            text = f"{name}: AUC {format_number(float(auc(x, y)))}, n {target.sum():,}"
            axes.plot(x, y, color=color, linestyle=dash, linewidth=1.6, label=text)
        else:
            axes.plot([], [], color=color, linestyle=dash, label=f"{name}: undefined")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("sensitivity")
    axes.set_aspect("equal")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=9)
    return to_png(figure)
