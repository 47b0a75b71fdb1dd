"""The report of predicted numbers: its document, and each target's predictions as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.evaluation.report.document import (
    Background,
    Difference,
    finish_document,
    to_rows,
)
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.sets import RELATIONS
from ecg_assets.figures import ACCENT, DASHED, INK, make_figure, to_png
from ecg_assets.known import keep_known
from ecg_assets.metrics.intervals import LEAST_PATIENTS
from ecg_assets.metrics.metrics import pick_macro
from ecg_assets.metrics.regression import NUMBER_METRICS
from ecg_assets.models.predictions import Predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SCATTER = "Predicted against measured"
"""Title of the picture."""
REGRESSION_PAGE = "regression.html"
"""Template of the page."""

_PER_ROW = 3
_MOST_DOTS = 4000
"""Of a target: more hide each other, and make a picture of megabytes."""


def build_regression_document(
    result: EvaluationResult,
    difference: Difference | None,
    not_compared: str,
    background: Background,
) -> dict[str, Any]:
    """Collect all numbers of a report on numbers; an undefined one is null.

    No recording and no patient is named. The parameters are those of
    `ecg_assets.evaluation.report.document.build_document`.
    """
    n_undefined = len(result.undefined)
    document = {
        "evaluation": result.to_json(),
        "set_name": result.evaluation_set.name,
        "relation_name": RELATIONS[result.relation],
        "is_too_small": result.is_too_small,
        "summary": {
            "n_targets": len(result.labels),
            "n_defined": len(result.labels) - n_undefined,
            "least_patients": LEAST_PATIENTS,
            "most_dots": _MOST_DOTS,
        },
        "slices": None,
        "calibration_groups": None,
        "lead_degradation": None,
        "difference": difference and _difference(difference),
        "not_compared": not_compared,
        "glossary": {
            metric.name: {
                "title": metric.title,
                "formula": metric.formula,
                "guide": metric.guide,
                "has_unit": metric.has_unit,
            }
            for metric in NUMBER_METRICS.values()
        },
        **{name: dict(getattr(background, name)) for name in background.__dataclass_fields__},
    }
    return finish_document(document)


def _difference(difference: Difference) -> dict[str, Any]:
    value = difference.to_json()
    value.pop("macro_auroc")
    rows = to_rows(pick_macro(difference.table, "r2"))
    return {**value, "macro_r2": rows[0] if rows else None}


def draw_scatter(predictions: Predictions, *, seed: int = 0) -> bytes:
    """Draw each target's predicted over its measured numbers, a dot a recording.

    Parameters
    ----------
    predictions
        Of numbers.
    seed
        Chooses the dots of a target with more than 4,000.
    """
    names, units = predictions.vocabulary.names, predictions.vocabulary.units
    n_columns = min(len(names), _PER_ROW)
    n_rows = -(-len(names) // n_columns)
    figure, grid = make_figure(3.9 * n_columns, 4.4 * n_rows, n_rows, n_columns, lines="both")
    generator = np.random.default_rng(seed)
    for place, axes in enumerate(grid.flat):
        if place >= len(names):
            axes.remove()
            continue
        target, (score,) = keep_known(predictions.target[:, place], predictions.score[:, place])
        chosen = np.sort(generator.permutation(len(target))[:_MOST_DOTS])
        _draw_target(axes, target[chosen], score[chosen])
        axes.set_title(f"{names[place]} ({units[place]}), n {len(target):,}", fontsize=9.5)
    return to_png(figure)


def _draw_target(axes: Axes, target: NDArray[np.float32], score: NDArray[np.float32]) -> None:
    if len(target):
        values = np.concatenate([target, score]).astype(np.float64)
        low, high = float(values.min()), float(values.max())
        margin = 0.04 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        axes.plot(ends, ends, **DASHED)
        alpha = 0.7 if len(target) < 300 else 0.35
        axes.plot(target, score, "o", color=ACCENT, markersize=3, alpha=alpha, markeredgewidth=0)
        axes.set(xlim=ends, ylim=ends, box_aspect=1)
    axes.set_xlabel("measured", color=INK, fontsize=9)
    axes.set_ylabel("predicted", color=INK, fontsize=9)
