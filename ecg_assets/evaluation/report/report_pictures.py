"""All pictures of a report that are drawn from tables, by title."""

from __future__ import annotations

from ecg_assets.evaluation.leads.lead_figures import draw_lead_degradation
from ecg_assets.evaluation.report.curve_bands import CurveBands
from ecg_assets.evaluation.report.curve_figures import (
    draw_calibration_curves,
    draw_precision_recall_curves,
    draw_roc_curves,
)
from ecg_assets.evaluation.report.figures import draw_auroc_forest
from ecg_assets.evaluation.report.report_document import Findings
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.shift.shift_figures import draw_slice_forest


def draw_report_pictures(
    result: EvaluationResult, bands: CurveBands, findings: Findings
) -> dict[str, bytes]:
    """Draw forests and curves as PNG bytes; what was not materialized has no picture."""
    pictures = {
        "AUROC by label": draw_auroc_forest(result),
        "ROC curves": draw_roc_curves(bands, result),
        "Precision recall curves": draw_precision_recall_curves(bands, result),
        "Calibration curves": draw_calibration_curves(bands, result),
    }
    if findings.slices is not None and len(findings.slices):
        pictures["AUROC by group"] = draw_slice_forest(findings.slices)
    if findings.lead_degradation is not None:
        pictures["AUROC by leads"] = draw_lead_degradation(findings.lead_degradation)
    return pictures
