from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from ecg_assets.evaluation.report.curves import (
    GRID,
    CurveBands,
    SortedScores,
    bootstrap_curves,
    share_positive,
)
from ecg_assets.evaluation.report.figures import (
    draw_calibration_curves,
    draw_decision_curves,
    draw_roc_curves,
)
from ecg_assets.known import NOT_MEASURED
from ecg_assets.metrics.calibration import bin_of, reliability_table
from ecg_assets.metrics.decision_curves import net_benefit
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated
from ecg_assets_tests.evaluation.simulation import simulate_predictions


def _bands(predictions: Predictions, n_resamples: int = 50, seed: int = 0) -> CurveBands:
    table = reliability_table(predictions.vocabulary.names, predictions.target, predictions.score)
    return bootstrap_curves(predictions, table, n_resamples=n_resamples, seed=seed)


@pytest.mark.parametrize("decimals", [1, 6])
def test_curves_under_weights_equal_scikit_learn(decimals: int) -> None:
    predictions = simulate_predictions(200, decimals=decimals)
    target, score = predictions.target[:, 0], predictions.score[:, 0]
    weight = np.random.default_rng(0).integers(0, 4, 200).astype(np.float64)
    sensitivity, precision = SortedScores.from_scores(target, score).roc_and_precision(weight)
    x, y, _ = roc_curve(target, score, sample_weight=weight, drop_intermediate=False)
    np.testing.assert_allclose(sensitivity, np.interp(GRID, x, y), rtol=0, atol=1e-12)
    p, r, _ = precision_recall_curve(target, score, sample_weight=weight)
    expected = [p[r >= max(at - 1e-12, 1e-12)][-1] for at in GRID]  # the highest threshold
    np.testing.assert_allclose(precision, expected, rtol=0, atol=1e-12)


def test_one_class_in_a_resample_is_undefined() -> None:
    predictions = simulate_predictions(50)
    target, score = predictions.target[:, 0], predictions.score[:, 0]
    found = SortedScores.from_scores(target, score).roc_and_precision(target.astype(np.float64))
    assert all(np.isnan(curve).all() for curve in found)


def test_share_of_positives_is_that_of_the_reliability_table() -> None:
    predictions = simulate_predictions(300)
    bands = _bands(predictions, n_resamples=2)
    table = reliability_table(predictions.vocabulary.names, predictions.target, predictions.score)
    for name, band in bands.bands["calibration"].items():
        expected = table[table["label"] == name]["share_positive"]
        np.testing.assert_allclose(band.value, expected)


def test_empty_bin_is_undefined() -> None:
    share = share_positive(bin_of(np.array([0.05, 0.95])), np.array([0, 1], np.uint8), np.ones(2))
    assert share[[0, 9]].tolist() == [0, 1]
    assert np.isnan(share[1:9]).all()


def test_band_holds_the_curve_and_narrows_with_patients() -> None:
    small, large = (_bands(simulate_predictions(n, decimals=6)) for n in (150, 2400))
    width = {}
    for name, bands in (("small", small), ("large", large)):
        band = bands.bands["roc"]["label 0"]
        inner = slice(5, 60)
        assert ((band.low <= band.value + 0.02) & (band.value <= band.high + 0.02))[inner].all()
        width[name] = float(np.mean((band.high - band.low)[inner]))
    assert width["large"] < width["small"] / 2


@pytest.mark.parametrize("n_patients", [1, 29])
def test_few_patients_have_curves_without_bands(n_patients: int) -> None:
    predictions = simulate_predictions(60)
    predictions.subject_ids[:] = (np.arange(60) % n_patients).astype(str)
    band = _bands(predictions, n_resamples=5).bands["roc"]["label 0"]
    assert np.isfinite(band.value).all()
    assert np.isnan(band.low).all() and np.isnan(band.high).all()


def test_what_resampling_cannot_vary_has_no_band() -> None:
    """A label that is separated perfectly: a band without width would say that this is certain."""
    predictions = simulate_predictions(120)
    predictions.score[:, 0] = predictions.target[:, 0]
    band = _bands(predictions, n_resamples=5).bands["roc"]["label 0"]
    assert (band.value == 1).all() and np.isnan(band.low).all()


def test_label_with_one_class_has_no_curve_and_a_picture_says_so() -> None:
    predictions = simulate_predictions(60)
    predictions.target[:, 1] = 0
    bands = _bands(predictions, n_resamples=3)
    assert all(list(by_label) == ["label 0", "label 2"] for by_label in bands.bands.values())
    result = evaluate_simulated(predictions)
    for draw in (draw_calibration_curves, draw_decision_curves):
        assert draw(bands, result).startswith(b"\x89PNG")
    table = bands.to_table()
    assert set(table["curve"]) == {"roc", "precision_recall", "calibration", "decision"}
    assert "label 1" not in set(table["label"])


def test_same_seed_gives_the_same_picture() -> None:
    predictions = simulate_predictions(60)
    result = evaluate_simulated(predictions)
    first, second = (draw_roc_curves(_bands(predictions, 5), result) for _ in range(2))
    assert first == second


def test_decision_curves_are_net_benefit_over_the_recordings_that_are_known() -> None:
    predictions = simulate_predictions(300)
    predictions.target[::4, 0] = NOT_MEASURED
    bands = _bands(predictions, n_resamples=20).bands["decision"]
    for k, name in enumerate(predictions.vocabulary.names):
        expected = net_benefit(predictions.target[:, k], predictions.score[:, k])
        np.testing.assert_allclose(bands[name].value, expected, atol=1e-12)
    band = bands["label 0"]
    inner = slice(0, 40)
    assert ((band.low <= band.value) & (band.value <= band.high))[inner].all()
    assert (band.high - band.low)[inner].max() > 0
