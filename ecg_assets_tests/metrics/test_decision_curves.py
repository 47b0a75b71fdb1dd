from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from ecg_assets.known import NOT_MEASURED
from ecg_assets.metrics.decision_curves import (
    THRESHOLDS,
    count_called,
    net_benefit,
    net_benefit_of_all,
    net_benefit_of_called,
)

SHOWN = [0.05, 0.25, 0.5, 0.8]


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def _draw(
    generator: np.random.Generator, n: int = 400
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw labels and scores with ties, some of them at thresholds."""
    target = (generator.random(n) < 0.3).astype(np.uint8)
    score = np.clip(0.3 * target + generator.random(n) * 0.7, 0, 1)
    return target, np.round(score, 2).astype(np.float32)


def _by_confusion(
    target: NDArray[np.uint8], score: NDArray[np.float32], at: float, weight: NDArray[np.float64]
) -> float:
    """Net benefit from scikit-learn's counts."""
    called = score.astype(np.float64) >= at
    (_, false), (_, true) = confusion_matrix(
        target, called, labels=[0, 1], sample_weight=weight
    ).astype(float)
    return float((true - false * at / (1 - at)) / weight.sum())


@pytest.mark.parametrize("is_weighted", [False, True])
def test_net_benefit_is_that_of_scikit_learns_confusion_matrix(
    generator: np.random.Generator, is_weighted: bool
) -> None:
    target, score = _draw(generator)
    weight = generator.integers(0, 4, len(target)).astype(float) if is_weighted else None
    found = net_benefit(target, score, THRESHOLDS, weight)
    counted = np.ones(len(target)) if weight is None else weight
    expected = [_by_confusion(target, score, at, counted) for at in THRESHOLDS]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_acting_on_every_score_is_treat_all_and_on_none_is_zero() -> None:
    target = np.array([1, 0, 0, 1, 0], np.uint8)
    everyone, nobody = (net_benefit(target, np.full(5, one), SHOWN) for one in (1.0, 0.0))
    np.testing.assert_allclose(everyone, net_benefit_of_all(0.4, SHOWN), atol=1e-15)
    np.testing.assert_array_equal(nobody, np.zeros(4))


def test_treat_all_is_zero_at_the_prevalence() -> None:
    assert net_benefit_of_all(0.25, [0.25])[0] == pytest.approx(0, abs=1e-15)


def test_perfect_scores_have_the_prevalence_at_every_threshold() -> None:
    target = np.array([1, 0, 0, 0], np.uint8)
    np.testing.assert_array_equal(net_benefit(target, target.astype(float)), np.full(99, 0.25))


def test_what_nobody_looked_for_does_not_count(generator: np.random.Generator) -> None:
    target, score = _draw(generator)
    unknown = generator.random(len(target)) < 0.4
    planted = np.where(unknown, NOT_MEASURED, target).astype(np.uint8)
    expected = net_benefit(target[~unknown], score[~unknown])
    np.testing.assert_array_equal(net_benefit(planted, score), expected)


def test_nothing_known_or_a_score_that_is_no_number_is_undefined() -> None:
    unknown = np.full(3, NOT_MEASURED, np.uint8)
    assert np.isnan(net_benefit(unknown, np.ones(3))).all()
    assert np.isnan(net_benefit(np.ones(2, np.uint8), np.array([0.5, np.nan]))).all()
    assert np.isnan(net_benefit(np.ones(2, np.uint8), np.ones(2), SHOWN, np.zeros(2))).all()


def test_a_score_at_the_threshold_is_acted_on() -> None:
    assert net_benefit(np.array([1], np.uint8), np.array([0.25]), [0.25])[0] == 1


def test_counts_made_once_give_each_resample(generator: np.random.Generator) -> None:
    target, score = _draw(generator)
    called = count_called(score)
    for _ in range(3):
        weight = generator.integers(0, 3, len(target)).astype(float)
        expected = net_benefit(
            np.repeat(target, weight.astype(int)), np.repeat(score, weight.astype(int))
        )
        found = net_benefit_of_called(called, target, weight)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("thresholds", [[0.0], [1.0], [0.5, 0.2], [[0.5]], [np.nan]])
def test_thresholds_that_are_none_are_refused(thresholds: list[float]) -> None:
    with pytest.raises(ValueError, match="above 0 and below 1"):
        net_benefit(np.array([1], np.uint8), np.array([0.5]), thresholds)
