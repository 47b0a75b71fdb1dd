"""Predictions to metrics, intervals and a report.

Belongs here: thresholds from validation, metrics, patient-cluster bootstrap, pictures,
the HTML report, the leaderboard. Does not belong here: training. Only defs uses it;
`predict` alone loads torch.
"""

from ecg_assets.evaluation.comparison import DIFFERENCES, compare_predictions
from ecg_assets.evaluation.evaluate import evaluate, evaluate_checkpoint
from ecg_assets.evaluation.external.crosswalk import crosswalk
from ecg_assets.evaluation.leaderboard import (
    LEADERBOARD,
    build_leaderboard,
    find_champions,
    find_compared_labels,
)
from ecg_assets.evaluation.report.curves import bootstrap_curves
from ecg_assets.evaluation.report.document import (
    Background,
    Difference,
    Findings,
    Strip,
    build_document,
    choose_examples,
)
from ecg_assets.evaluation.report.explain import explain
from ecg_assets.evaluation.report.figures import draw_report_pictures
from ecg_assets.evaluation.report.numbers import find_wrong_numbers
from ecg_assets.evaluation.report.page import render_report, write_report
from ecg_assets.evaluation.result import METRIC_TABLE, EvaluationResult
from ecg_assets.evaluation.shift.slices import evaluate_slices
from ecg_assets.evaluation.thresholds import THRESHOLD_RULES, Thresholds

__all__ = [
    "DIFFERENCES",
    "LEADERBOARD",
    "METRIC_TABLE",
    "THRESHOLD_RULES",
    "Background",
    "Difference",
    "EvaluationResult",
    "Findings",
    "Strip",
    "Thresholds",
    "bootstrap_curves",
    "build_document",
    "build_leaderboard",
    "choose_examples",
    "compare_predictions",
    "crosswalk",
    "draw_report_pictures",
    "evaluate",
    "evaluate_checkpoint",
    "evaluate_slices",
    "explain",
    "find_champions",
    "find_compared_labels",
    "find_wrong_numbers",
    "render_report",
    "write_report",
]
