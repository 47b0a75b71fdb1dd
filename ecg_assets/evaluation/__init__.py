"""Predictions to metrics, intervals and a report.

Belongs here: thresholds from validation, metrics, patient-cluster bootstrap, pictures,
the HTML report, the leaderboard. Does not belong here: training. Only defs uses it;
`predict` alone loads torch.
"""

from ecg_assets.evaluation.calibration import fit_line, reliability_table
from ecg_assets.evaluation.challenge_score import challenge_score, read_challenge_weights
from ecg_assets.evaluation.comparison import DIFFERENCES, compare_predictions
from ecg_assets.evaluation.evaluate import evaluate
from ecg_assets.evaluation.evaluate_checkpoint import evaluate_checkpoint
from ecg_assets.evaluation.external.crosswalk import LABEL_CROSSWALK, crosswalk
from ecg_assets.evaluation.external.crosswalk_label_sets import crosswalk_label_sets
from ecg_assets.evaluation.intervals import BootstrapIntervals, bootstrap_by_patient
from ecg_assets.evaluation.leaderboard import (
    LEADERBOARD,
    build_leaderboard,
    find_champions,
    find_compared_labels,
)
from ecg_assets.evaluation.leads.lead_degradation import LEAD_DEGRADATION, compare_lead_sets
from ecg_assets.evaluation.leads.lead_sets import LEAD_SETS
from ecg_assets.evaluation.leakage import find_overlaps
from ecg_assets.evaluation.metric_table import METRIC_TABLE
from ecg_assets.evaluation.metrics import METRICS
from ecg_assets.evaluation.noise.label_noise import LABEL_NOISE, rank_label_noise, suspect_labels
from ecg_assets.evaluation.noise.score_calibration import ScoreCalibration
from ecg_assets.evaluation.patient_statistics import describe_labels
from ecg_assets.evaluation.reference_metrics import write_reference_metrics
from ecg_assets.evaluation.report.curve_bands import bootstrap_curves
from ecg_assets.evaluation.report.examples import Strip, choose_examples
from ecg_assets.evaluation.report.explain_metric import Explanation, explain
from ecg_assets.evaluation.report.report_document import (
    Background,
    Difference,
    Findings,
    build_document,
)
from ecg_assets.evaluation.report.report_pictures import draw_report_pictures
from ecg_assets.evaluation.report.write_report import render_report, write_report
from ecg_assets.evaluation.report.wrong_numbers import find_wrong_numbers
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.shift.drift import DRIFT, is_shifted, measure_drift
from ecg_assets.evaluation.shift.slices import SLICE_METRICS, evaluate_slices
from ecg_assets.evaluation.shift.stability_index import stability_index
from ecg_assets.evaluation.thresholds import THRESHOLD_RULES, Thresholds
from ecg_assets.evaluation.training_history import trace_training
from ecg_assets.models.confusion import class_report, confusion_matrix_table

__all__ = [
    "DIFFERENCES",
    "DRIFT",
    "LABEL_CROSSWALK",
    "LABEL_NOISE",
    "LEADERBOARD",
    "LEAD_DEGRADATION",
    "LEAD_SETS",
    "METRICS",
    "METRIC_TABLE",
    "SLICE_METRICS",
    "THRESHOLD_RULES",
    "Background",
    "BootstrapIntervals",
    "Difference",
    "EvaluationResult",
    "Explanation",
    "Findings",
    "ScoreCalibration",
    "Strip",
    "Thresholds",
    "bootstrap_by_patient",
    "bootstrap_curves",
    "build_document",
    "build_leaderboard",
    "challenge_score",
    "choose_examples",
    "class_report",
    "compare_lead_sets",
    "compare_predictions",
    "confusion_matrix_table",
    "crosswalk",
    "crosswalk_label_sets",
    "describe_labels",
    "draw_report_pictures",
    "evaluate",
    "evaluate_checkpoint",
    "evaluate_slices",
    "explain",
    "find_champions",
    "find_compared_labels",
    "find_overlaps",
    "find_wrong_numbers",
    "fit_line",
    "is_shifted",
    "measure_drift",
    "rank_label_noise",
    "read_challenge_weights",
    "reliability_table",
    "render_report",
    "stability_index",
    "suspect_labels",
    "trace_training",
    "write_reference_metrics",
    "write_report",
]
