"""The forest of an evaluation as PNG bytes, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation.leads import draw_lead_degradation
from ecg_assets.evaluation.report.calibration_groups import (
    calibrate_groups,
    draw_calibration_groups,
)
from ecg_assets.evaluation.report.curves import Band, CurveBands
from ecg_assets.evaluation.report.document import Findings
from ecg_assets.evaluation.report.numbers import format_number
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.shift.slices import draw_slice_forest
from ecg_assets.figures import (
    ACCENT,
    DASHED,
    INK,
    LIGHT,
    MUTED,
    draw_interval,
    make_figure,
    to_png,
)
from ecg_assets.metrics.decision_curves import net_benefit_of_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_auroc_forest(result: EvaluationResult) -> bytes:
    """Draw each label's AUROC with its interval, and the macro mean."""
    columns = ["auroc", "auroc_low", "auroc_high"]
    rows = result.labels.set_index("label")[columns].iloc[::-1]
    rows.loc["macro mean"] = [result.macro[name] for name in columns]
    figure, [[axes]] = make_figure(8.5, 0.34 * len(rows) + 1.1, lines="x", is_list=True)
    colors = [INK if name == "macro mean" else ACCENT for name in rows.index]
    _draw_forest(axes, rows.to_numpy(np.float64), colors)
    axes.set_yticks(range(len(rows)), list(rows.index), fontsize=9)
    axes.axvline(0.5, **DASHED)
    axes.set_xlabel("AUROC, 95 % interval (patients resampled)")
    return to_png(figure)


def _draw_forest(axes: Axes, rows: NDArray[np.float64], colors: Sequence[str]) -> None:
    """Draw a dot and an interval a row, ``(row, [value, low, high])``, from the bottom."""
    for y, (ends, color) in enumerate(zip(rows, colors, strict=True)):
        if np.isfinite(ends[0]):
            draw_interval(axes, y, ends, color)
        else:
            axes.text(0.5, y, "  undefined", color=MUTED, va="center", fontsize=8)
    finite = rows[np.isfinite(rows)]
    axes.set_xlim(min(0.5, *finite) - 0.02 if len(finite) else 0.48, 1.01)
    axes.set_ylim(-0.7, len(rows) - 0.3)


# Curves with their bands as PNG bytes, one small picture a label.


COLUMNS = 6

_Row = dict[Hashable, Any]


def draw_roc_curves(bands: CurveBands, result: EvaluationResult) -> bytes:
    """Draw a small ROC curve with its band a label, and its AUROC."""

    def draw(axes: Axes, band: Band, row: _Row) -> None:
        axes.plot([0, 1], [0, 1], **DASHED)
        _draw_band(axes, band, start=0.0)
        _write(axes, f"AUROC {format_number(row['auroc'])}\nn⁺ {row['n_pos']:,}", y=0.06)

    return _small_multiples(
        result, bands.bands["roc"], draw, labels=("false positive rate", "sensitivity")
    )


def draw_precision_recall_curves(bands: CurveBands, result: EvaluationResult) -> bytes:
    """Draw a small precision–recall curve a label; the dashed line is the prevalence."""

    def draw(axes: Axes, band: Band, row: _Row) -> None:
        axes.axhline(row["prevalence"], **DASHED)
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
        axes.plot([0, 1], [0, 1], **DASHED)
        axes.vlines(band.x[filled], band.low[filled], band.high[filled], color=LIGHT, linewidth=2.5)
        area = 6 + 60 * n[filled] / n.sum()
        axes.scatter(band.x[filled], band.value[filled], area, color=ACCENT, zorder=3, linewidths=0)
        _write(axes, f"ECE {format_number(row['ece'])}\nn⁺ {row['n_pos']:,}", y=0.8, x=0.03)

    return _small_multiples(
        result, bands.bands["calibration"], draw, labels=("mean score", "share of positives")
    )


def draw_decision_curves(bands: CurveBands, result: EvaluationResult) -> bytes:
    """Draw the net benefit a label, beside that of acting on all recordings and on none."""

    def draw(axes: Axes, band: Band, row: _Row) -> None:
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.plot(band.x, net_benefit_of_all(row["prevalence"], band.x), **DASHED)
        _draw_band(axes, band)
        axes.set_ylim(-0.25 * row["prevalence"], 1.1 * row["prevalence"])
        axes.tick_params(axis="y", labelsize=6)
        _write(axes, f"n⁺ {row['n_pos']:,}", y=0.95 * row["prevalence"])

    return _small_multiples(
        result,
        bands.bands["decision"],
        draw,
        labels=("threshold at which one would act", "net benefit"),
        is_one_scale=False,
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
    is_one_scale: bool = True,
) -> bytes:
    rows = result.labels.to_dict("records")
    n_columns = min(COLUMNS, max(len(rows), 3))
    n_rows = -(-len(rows) // n_columns)
    size = (2.1 * n_columns, 2.25 * n_rows + 0.4)
    figure, axes_of = make_figure(*size, n_rows, n_columns, sharex=True, sharey=is_one_scale)
    grid = axes_of.ravel()
    for axes in grid[len(rows) :]:
        axes.set_visible(False)
    span, ticks = (-0.02, 1.02), [0, 0.5, 1]
    grid[0].set(xlim=span, xticks=ticks)  # all share them
    if is_one_scale:
        grid[0].set(ylim=span, yticks=ticks)
    for axes, row in zip(grid, rows, strict=False):
        axes.tick_params(labelsize=7)
        axes.set_title(wrap(str(row["label"])), fontsize=8, color=INK)
        if str(row["label"]) in bands:
            draw(axes, bands[str(row["label"])], row)
        else:
            axes.text(0.5, 0.5, f"undefined\nn⁺ {row['n_pos']:,}", ha="center", color=MUTED)
            if not is_one_scale:
                axes.set_yticks([])
    figure.supxlabel(labels[0], fontsize=9)
    figure.supylabel(labels[1], fontsize=9)
    return to_png(figure)


def wrap(name: str, width: int = 24) -> str:
    r"""Break a long name into two lines at a space.

    >>> wrap("Supraventricular tachycardia with aberrancy")
    'Supraventricular\ntachycardia with aberrancy'
    """
    if len(name) <= width:
        return name
    cut = name.rfind(" ", 0, width + 1)
    return f"{name[:cut]}\n{name[cut + 1 :]}" if cut > 0 else name


# All pictures of a report that are drawn from tables, by title.


ROC_CURVES = "ROC curves"
"""Picture of the report that the UI shows, too."""


def draw_report_pictures(
    result: EvaluationResult, bands: CurveBands, findings: Findings
) -> dict[str, bytes]:
    """Draw forests and curves as PNG bytes; what was not materialized has no picture."""
    pictures = {
        "AUROC by label": draw_auroc_forest(result),
        ROC_CURVES: draw_roc_curves(bands, result),
        "Precision recall curves": draw_precision_recall_curves(bands, result),
        "Calibration curves": draw_calibration_curves(bands, result),
        "Decision curves": draw_decision_curves(bands, result),
    }
    if findings.slices is not None and len(findings.slices):
        pictures["AUROC by group"] = draw_slice_forest(findings.slices)
        if calibration := draw_calibration_groups(calibrate_groups(findings.slices)):
            pictures["Calibration by group"] = calibration
    if findings.lead_degradation is not None:
        pictures["AUROC by leads"] = draw_lead_degradation(findings.lead_degradation)
    return pictures
