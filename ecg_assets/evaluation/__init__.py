"""Predictions to metrics, intervals and a report.

Belongs here: thresholds from validation, metrics, patient-cluster bootstrap, pictures,
the HTML report, the leaderboard. Does not belong here: training. Only defs uses it;
`predict` alone loads torch.
"""

from ecg_assets.evaluation.evaluate import evaluate
from ecg_assets.evaluation.examples import Strip, choose_examples
from ecg_assets.evaluation.intervals import BootstrapIntervals, bootstrap_by_patient
from ecg_assets.evaluation.leaderboard import LEADERBOARD, build_leaderboard
from ecg_assets.evaluation.metrics import describe_labels
from ecg_assets.evaluation.reference_metrics import write_reference_metrics
from ecg_assets.evaluation.report import write_report
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.thresholds import THRESHOLD_RULES, Thresholds

__all__ = [
    "LEADERBOARD",
    "THRESHOLD_RULES",
    "BootstrapIntervals",
    "EvaluationResult",
    "Strip",
    "Thresholds",
    "bootstrap_by_patient",
    "build_leaderboard",
    "choose_examples",
    "describe_labels",
    "evaluate",
    "write_reference_metrics",
    "write_report",
]
