"""Material of a report: a small evaluation, and findings of every kind about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ecg_assets.evaluation import (
    Background,
    Difference,
    EvaluationResult,
    Findings,
    build_document,
    choose_examples,
    compare_predictions,
    evaluate_checkpoint,
)
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets.evaluation.shift.slices import evaluate_slices
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.metrics.metrics import MACRO, Place, shown_in
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.preprocess import SignalSpec
from ecg_assets_tests.evaluation.simulation import simulate_predictions, simulate_validation

PLANTED_RECORD, PLANTED_LINE = "planted-record-4711", "Planted line of a report"


def evaluate_simulated(
    predictions: Predictions,
    checkpoint: str = "tiny-1",
    n_resamples: int = 20,
    validation: ValidationPredictions | None = None,
) -> EvaluationResult:
    """Evaluate simulated predictions with simulated thresholds."""
    return evaluate_checkpoint(
        validation or simulate_validation(60, seed=1),
        predictions,
        checkpoint=checkpoint,
        evaluation_set=EvaluationSet("synthetic", Part.TEST),
        signal_spec=SignalSpec().to_json(),
        lineage={"labels": "a" * 64, "checkpoint": "c" * 64},
        n_resamples=n_resamples,
    )


def make_findings(predictions: Predictions, result: EvaluationResult) -> Findings:
    """Make findings of every kind; the tables about recordings name a planted one."""
    other = simulate_predictions(len(predictions), seed=3)
    rival = Predictions(
        predictions.record_ids,
        predictions.subject_ids,
        predictions.vocabulary,
        predictions.target,
        other.score,
    )
    table = compare_predictions(predictions, rival, n_resamples=20, seed=0)
    return Findings(
        slices=_slices(predictions),
        external=[result],
        lead_degradation=_leads(),
        label_noise=_label_noise(predictions),
        difference=Difference("tiny-1", "tiny-2", "b" * 64, 2, table, 20, 0),
    )


def make_document(
    predictions: Predictions, result: EvaluationResult, findings: Findings | None = None
) -> dict[str, Any]:
    """Build the document of a report."""
    background = Background(
        model_card={"kind": "unknown", "weights_fingerprint": "c" * 64},
        rules={"label_set": "ecg-fm-17", "split_rule": "hash of patient, seed 1, 80/10/10"},
        code={"git_commit": "d" * 40, "versions": {"numpy": "2.0.1"}},
        curves={"n_resamples": 5, "seed": 0},
        shown={"slice_metrics": "e" * 64},
        excluded={"no_signal": 2, "flat_lead": 1},
    )
    strips = choose_examples(predictions, result)
    return build_document(result, findings or Findings(), background, strips)


def _slices(predictions: Predictions) -> pd.DataFrame:
    """Make macro rows by hand, and calibration of the labels by sex and age."""
    sex = np.where(np.arange(len(predictions)) % 3, "F", "M")
    groups = pd.DataFrame({"sex": sex, "age": "60-79"})
    thresholds = Thresholds.from_validation(simulate_validation(60, seed=1))
    found = evaluate_slices(predictions, thresholds, groups, n_resamples=20, seed=0)
    of_labels = found[(found["label"] != MACRO) & found["metric"].isin(shown_in(Place.CALIBRATION))]
    return pd.concat([_macro_slices(), of_labels], ignore_index=True)


def _macro_slices() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for slice_, group in (("age", "40-59"), ("age", "unknown"), ("statements", "2")):
        for metric in shown_in(Place.GROUPS):
            value = float(generator.uniform(0.7, 0.9))
            row = {"slice": slice_, "group": group, "label": "macro", "metric": metric}
            counts = {"n": 20, "n_patients": 9, "n_pos": 7, "n_labels": 3, "n_resamples": 20}
            ends = {"value": value, "low": value - 0.1, "high": value + 0.05}
            rows.append({**row, **ends, **counts, "is_uncertain": True, "whole_set": 0.8})
    return pd.DataFrame(rows)


def _leads() -> pd.DataFrame:
    row = {"label": "macro", "metric": "auroc", "n_pos": 20}
    return pd.DataFrame(
        [
            {**row, "leads": "12 leads", "n_leads": 12, "value": np.nan, "low": np.nan}
            | {"high": np.nan, "n": 0, "undefined": "not run: the shards hold 1 lead (I)"},
            {**row, "leads": "Lead I × 12", "n_leads": 1, "value": 0.8, "low": 0.7}
            | {"high": 0.9, "n": 60, "undefined": None},
        ]
    )


def _label_noise(predictions: Predictions) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "record_id": [PLANTED_RECORD, predictions.record_ids[0]] * 10,
            "label": ["label 0", "label 1"] * 10,
            "value": [1, 0] * 10,
            "score": 0.5,
            "suspicion": np.linspace(0.9, 0.1, 20),
            "rank": np.arange(1, 21),
            "line": PLANTED_LINE,
        }
    )
