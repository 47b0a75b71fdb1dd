from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logit

from ecg_assets.evaluation.label_noise import ScoreCalibration
from ecg_assets.metrics.calibration import SCORE_CLIP, fit_line, reliability_table
from ecg_assets.metrics.intervals import describe_labels
from ecg_assets.metrics.metrics import places_of
from ecg_assets_tests.evaluation.simulation import simulate_predictions


def test_line_is_the_most_likely_one() -> None:
    p = simulate_predictions(300, n_labels=1)
    target, x = p.target[:, 0], logit(np.clip(p.score[:, 0].astype(float), 1e-6, 1 - 1e-6))

    def loss(line: np.ndarray) -> float:
        z = line[0] * x + line[1]
        return float(np.mean(np.logaddexp(0, z) - target * z))

    expected = minimize(loss, [1.0, 0.0], options={"gtol": 1e-9}).x
    assert fit_line(target, p.score[:, 0]) == pytest.approx(expected, abs=1e-5)


def test_scores_that_are_too_extreme_have_a_slope_below_one() -> None:
    generator = np.random.default_rng(0)
    log_odds = generator.normal(size=20_000)
    target = (generator.random(20_000) < expit(log_odds)).astype(np.uint8)
    assert fit_line(target, expit(log_odds)) == pytest.approx((1, 0), abs=0.05)
    assert fit_line(target, expit(2 * log_odds + 1)) == pytest.approx((0.5, -0.5), abs=0.05)


@pytest.mark.parametrize(
    ("target", "score"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.2, 0.9]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.9]),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]),
        ([0, 0, 0, 0], [0.1, 0.2, 0.3, 0.9]),
    ],
    ids=["separated", "separated backwards", "all alike", "one class"],
)
def test_no_line_where_none_is_most_likely(target: list[int], score: list[float]) -> None:
    assert np.isnan(fit_line(np.array(target, np.uint8), np.array(score))).all()


def test_scores_of_zero_and_one_are_clipped() -> None:
    target = np.array([0, 1, 0, 1, 1, 0], np.uint8)
    score = np.array([0.0, 0.0, 0.4, 0.6, 1.0, 1.0])
    clipped = np.clip(score, SCORE_CLIP, 1 - SCORE_CLIP)
    assert fit_line(target, score) == fit_line(target, clipped)
    assert np.isfinite(fit_line(target, score)).all()


def test_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    p = simulate_predictions(500)
    values = describe_labels(p.target, p.score, np.full(3, 0.5))
    table = reliability_table(p.vocabulary.names, p.target, p.score)
    for label, name in enumerate(p.vocabulary.names):
        bins = table[table["label"] == name]
        assert len(bins) == 10 and bins["n"].sum() == 500
        assert bins["n_pos"].sum() == p.target[:, label].sum()
        gap = (bins["mean_score"] - bins["share_positive"]).abs() * bins["n"] / 500
        assert values[label, places_of(["ece"])[0]] == pytest.approx(gap.sum(), abs=1e-12)


def test_bins_are_those_of_the_score() -> None:
    score = np.array([[0.0], [0.09], [0.1], [0.55], [1.0]])
    table = reliability_table(("a",), np.array([[0], [1], [1], [0], [1]], np.uint8), score)
    assert table["n"].tolist() == [2, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    assert table["share_positive"][0] == 0.5 and np.isnan(table["share_positive"][2])


def test_evaluated_set_cannot_calibrate() -> None:
    with pytest.raises(TypeError, match="never from the evaluated set"):
        ScoreCalibration.from_validation(simulate_predictions(40))  # type: ignore[arg-type]


def test_line_of_scores_that_say_nothing_is_flat_without_a_warning() -> None:
    target, score = np.array([1, 0, 0, 1, 1, 0], np.uint8), np.array([0, 1, 1, 1, 1, 0])
    assert fit_line(target, score) == pytest.approx((0, 0), abs=1e-12)
