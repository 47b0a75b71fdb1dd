"""Curves with their bands as PNG bytes, one small picture a label."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_assets.evaluation.number_format import format_number
from ecg_assets.evaluation.report.curve_bands import Band, CurveBands
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.figures import ACCENT, INK, LIGHT, MUTED, to_png

COLUMNS = 6

_Row = dict[Hashable, Any]


def draw_roc_curves(bands: CurveBands, result: EvaluationResult) -> bytes:
    """Draw a small ROC curve with its band a label, and its AUROC."""

    def draw(axes: Axes, band: Band, row: _Row) -> None:
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
        _draw_band(axes, band, start=0.0)
        _write(axes, f"AUROC {format_number(row['auroc'])}\nn⁺ {row['n_pos']:,}", y=0.06)

    return _small_multiples(
        result, bands.bands["roc"], draw, labels=("false positive rate", "sensitivity")
    )


def draw_precision_recall_curves(bands: CurveBands, result: EvaluationResult) -> bytes:
    """Draw a small precision–recall curve a label; the dashed line is the prevalence."""

    def draw(axes: Axes, band: Band, row: _Row) -> None:
        axes.axhline(row["prevalence"], color=MUTED, linewidth=0.8, linestyle="--")
        _draw_band(axes, band)
        _write(axes, f"AUPRC {format_number(row['auprc'])}\nn⁺ {row['n_pos']:,}", y=0.06)

    return _small_multiples(
        result, bands.bands["precision_recall"], draw, labels=("recall (sensitivity)", "precision")
    )


def draw_calibration_curves(bands: CurveBands, result: EvaluationResult) -> bytes:
    """Draw a small calibration curve a label; a dot's area grows with the recordings of its bin."""
    sizes = result.reliability.pivot(index="label", columns="bin", values="n")

    def draw(axes: Axes, band: Band, row: _Row) -> None:
        n = sizes.loc[str(row["label"])].to_numpy(np.float64)
        filled = np.isfinite(band.value)
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle="--")
        axes.vlines(band.x[filled], band.low[filled], band.high[filled], color=LIGHT, linewidth=2.5)
        area = 6 + 60 * n[filled] / n.sum()
        axes.scatter(band.x[filled], band.value[filled], area, color=ACCENT, zorder=3, linewidths=0)
        _write(axes, f"ECE {format_number(row['ece'])}\nn⁺ {row['n_pos']:,}", y=0.8, x=0.03)

    return _small_multiples(
        result, bands.bands["calibration"], draw, labels=("mean score", "share of positives")
    )


def _draw_band(axes: Axes, band: Band, *, start: float | None = None) -> None:
    """Draw the band in its colour and the curve above it, from `start` at x = 0 if given."""
    axes.fill_between(band.x, band.low, band.high, color=LIGHT, alpha=0.65, linewidth=0)
    x, value = (
        (band.x, band.value)
        if start is None
        else (np.append(0, band.x), np.append(start, band.value))
    )
    axes.plot(x, value, color=ACCENT, linewidth=1.5)


def _write(axes: Axes, text: str, *, y: float, x: float = 0.97) -> None:
    paper = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 1.2}
    side = "right" if x > 0.5 else "left"
    axes.text(x, y, text, ha=side, fontsize=7.5, color=INK, zorder=4, bbox=paper)


def _small_multiples(
    result: EvaluationResult,
    bands: dict[str, Band],
    draw: Callable[[Axes, Band, _Row], None],
    *,
    labels: tuple[str, str],
) -> bytes:
    rows = result.labels.to_dict("records")
    n_columns = min(COLUMNS, max(len(rows), 3))
    n_rows = -(-len(rows) // n_columns)
    figure = Figure(figsize=(2.1 * n_columns, 2.25 * n_rows + 0.4), layout="constrained")
    grid = np.atleast_1d(figure.subplots(n_rows, n_columns, sharex=True, sharey=True)).ravel()
    for axes in grid[len(rows) :]:
        axes.set_visible(False)
    span, ticks = (-0.02, 1.02), [0, 0.5, 1]
    grid[0].set(xlim=span, ylim=span, xticks=ticks, yticks=ticks)  # all share them
    for axes, row in zip(grid, rows, strict=False):
        _prepare(axes, str(row["label"]))
        if str(row["label"]) in bands:
            draw(axes, bands[str(row["label"])], row)
        else:
            axes.text(0.5, 0.5, f"undefined\nn⁺ {row['n_pos']:,}", ha="center", color=MUTED)
    figure.supxlabel(labels[0], fontsize=9)
    figure.supylabel(labels[1], fontsize=9)
    return to_png(figure)


def _prepare(axes: Axes, label: str) -> None:
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(wrap(label), fontsize=8, color=INK)


def wrap(name: str, width: int = 24) -> str:
    r"""Break a long name into two lines at a space.

    >>> wrap("Supraventricular tachycardia with aberrancy")
    'Supraventricular\ntachycardia with aberrancy'
    """
    if len(name) <= width:
        return name
    cut = name.rfind(" ", 0, width + 1)
    return f"{name[:cut]}\n{name[cut + 1 :]}" if cut > 0 else name
