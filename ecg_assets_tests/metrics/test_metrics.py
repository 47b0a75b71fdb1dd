from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    roc_auc_score,
)

from ecg_assets.metrics import ranks
from ecg_assets.metrics.intervals import describe_labels
from ecg_assets.metrics.metrics import METRICS, places_of
from ecg_assets.metrics.ranks import TieBlocks, label_aurocs
from ecg_assets_tests.evaluation.simulation import simulate_predictions

Scored = list[tuple[int, int, int]]
ROWS = st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 4))


@given(st.lists(ROWS, min_size=2, max_size=60))
@settings(max_examples=200)
def test_weighted_curves_equal_scikit_learn(rows: Scored) -> None:
    target, score, weight = (np.array(column) for column in zip(*rows, strict=True))
    blocks = TieBlocks.from_scores(target.astype(np.uint8), (score / 8).astype(np.float32))
    auroc, auprc = blocks.curves(weight)
    if set(target[weight > 0]) == {0, 1}:
        assert auroc == pytest.approx(roc_auc_score(target, score, sample_weight=weight), abs=1e-12)
        expected = average_precision_score(target, score, sample_weight=weight)
        assert auprc == pytest.approx(expected, abs=1e-12)
    else:
        assert np.isnan(auroc) and np.isnan(auprc)


@given(st.integers(2, 80), st.integers(0, 16), st.integers(0, 2**32 - 1))
@settings(max_examples=100)
def test_all_metrics_equal_scikit_learn(n_records: int, decimals: int, seed: int) -> None:
    p = simulate_predictions(n_records, seed=seed, decimals=decimals)
    thresholds = np.array([0.3, 0.5, 0.7])
    values = describe_labels(p.target, p.score, thresholds)
    for label, threshold in enumerate(thresholds):
        target, score = p.target[:, label], p.score[:, label].astype(np.float64)
        if 0 < target.sum() < len(target):
            expected = _by_scikit_learn(target, score, threshold)
            found = {name: values[label, places_of([name])[0]] for name in expected}
            assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def _by_scikit_learn(
    target: NDArray[np.uint8], score: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    called = (score >= threshold).astype(int)
    tn, fp, fn, tp = (float(n) for n in confusion_matrix(target, called).ravel())
    return {
        "auroc": roc_auc_score(target, score),
        "auprc": average_precision_score(target, score),
        "f1": f1_score(target, called, zero_division=0.0),
        "sensitivity": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "ppv": tp / (tp + fp) if tp + fp else np.nan,
        "npv": tn / (tn + fn) if tn + fn else np.nan,
        "brier": brier_score_loss(target, score),
    }


def test_auroc_equals_counting_pairs() -> None:
    predictions = simulate_predictions(80)
    target, score = predictions.target[:, 0] == 1, predictions.score[:, 0]
    pairs = score[target][:, None] - score[~target][None, :]
    expected = (np.sum(pairs > 0) + np.sum(pairs == 0) / 2) / pairs.size
    found, _ = TieBlocks.from_scores(predictions.target[:, 0], score).curves(np.ones(80, np.int64))
    assert found == pytest.approx(expected, abs=1e-12)


def test_auroc_of_each_label_is_that_of_the_table() -> None:
    predictions = simulate_predictions(80)
    predictions.target[:, 1] = 1
    found = label_aurocs(predictions.target, predictions.score)
    values = describe_labels(predictions.target, predictions.score, np.full(3, np.nan))
    assert np.isnan(found).tolist() == [False, True, False]
    np.testing.assert_allclose(found, values[:, places_of(["auroc"])[0]], rtol=0, atol=1e-12)


def test_size_of_blocks_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    p = simulate_predictions(300, n_labels=1)
    blocks = TieBlocks.from_scores(p.target[:, 0], p.score[:, 0])
    weights = np.random.default_rng(0).integers(0, 4, (50, 300))
    expected = blocks.resample(weights)
    for cells in (1, 7 * 300, 10**9):
        monkeypatch.setattr(ranks, "_MOST_CELLS", cells)
        assert blocks.resample(weights).tobytes() == expected.tobytes()


def test_one_class_gives_no_number() -> None:
    predictions = simulate_predictions(50)
    target = predictions.target.copy()
    target[:, 1] = 0
    values = describe_labels(target, predictions.score, np.full(3, 0.5))
    undefined = {name for name, value in zip(METRICS, values[1], strict=True) if np.isnan(value)}
    assert undefined == {
        "auroc",
        "auprc",
        "f1",
        "sensitivity",
        "calibration_slope",
        "calibration_intercept",
    }


def test_label_without_threshold_has_no_thresholded_number() -> None:
    predictions = simulate_predictions(50)
    values = describe_labels(predictions.target, predictions.score, np.array([np.nan, 0.5, 0.5]))
    undefined = {name for name, value in zip(METRICS, values[0], strict=True) if np.isnan(value)}
    assert undefined == {"f1", "sensitivity", "specificity", "ppv", "npv"}
