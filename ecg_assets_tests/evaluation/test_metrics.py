from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    roc_auc_score,
)

from ecg_assets.evaluation import describe_labels
from ecg_assets.evaluation.metrics import METRICS
from ecg_assets.evaluation.weighted_ranks import TieBlocks
from ecg_assets_tests.evaluation.simulation import simulate_predictions


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 4)),
        min_size=2,
        max_size=60,
    )
)
@settings(max_examples=200, deadline=None)
def test_weighted_curves_equal_scikit_learn(rows: list[tuple[int, int, int]]) -> None:
    target, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    blocks = TieBlocks.from_scores(target.astype(np.uint8), (score / 8).astype(np.float32))
    auroc, auprc = blocks.curves(weight.astype(np.float64))
    present = set(target[weight > 0])
    if present == {0, 1}:
        assert auroc == pytest.approx(roc_auc_score(target, score, sample_weight=weight), abs=1e-12)
        assert auprc == pytest.approx(
            average_precision_score(target, score, sample_weight=weight), abs=1e-12
        )
    else:
        assert np.isnan(auroc) and np.isnan(auprc)


def test_auroc_equals_counting_pairs() -> None:
    predictions = simulate_predictions(80)
    target, score = predictions.target[:, 0] == 1, predictions.score[:, 0]
    pairs = score[target][:, None] - score[~target][None, :]
    expected = (np.sum(pairs > 0) + np.sum(pairs == 0) / 2) / pairs.size
    found, _ = TieBlocks.from_scores(predictions.target[:, 0], score).curves(np.ones(80))
    assert found == pytest.approx(expected, abs=1e-12)


def test_thresholded_metrics_equal_scikit_learn() -> None:
    predictions = simulate_predictions(200)
    thresholds = np.array([0.3, 0.5, 0.7])
    values = describe_labels(predictions.target, predictions.score, thresholds)
    for label, threshold in enumerate(thresholds):
        target, score = predictions.target[:, label], predictions.score[:, label]
        called = (score >= threshold).astype(int)
        tn, fp, fn, tp = confusion_matrix(target, called).ravel()
        expected = {
            "f1": f1_score(target, called),
            "sensitivity": tp / (tp + fn),
            "specificity": tn / (tn + fp),
            "ppv": tp / (tp + fp),
            "npv": tn / (tn + fn),
            "brier": brier_score_loss(target, score),
        }
        for name, value in expected.items():
            assert values[label, METRICS.index(name)] == pytest.approx(value, abs=1e-7)


def test_one_class_gives_no_number() -> None:
    predictions = simulate_predictions(50)
    target = predictions.target.copy()
    target[:, 1] = 0
    values = describe_labels(target, predictions.score, np.full(3, 0.5))
    undefined = dict(zip(METRICS, np.isnan(values[1]), strict=True))
    assert undefined["auroc"] and undefined["auprc"]
    assert undefined["sensitivity"] and undefined["f1"]
    assert not undefined["specificity"] and not undefined["brier"]


def test_label_without_threshold_has_no_thresholded_number() -> None:
    predictions = simulate_predictions(50)
    values = describe_labels(predictions.target, predictions.score, np.array([np.nan, 0.5, 0.5]))
    named = dict(zip(METRICS, values[0], strict=True))
    assert np.isnan(named["sensitivity"]) and np.isnan(named["npv"])
    assert np.isfinite(named["auroc"])
