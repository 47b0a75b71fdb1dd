from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ecg_assets.evaluation import THRESHOLD_RULES, Thresholds
from ecg_assets_tests.evaluation.simulation import simulate_predictions


def _sensitivity(target: np.ndarray, called: np.ndarray) -> float:
    return float(called[target == 1].mean())


@pytest.mark.parametrize("rule", sorted(THRESHOLD_RULES))
def test_rule_is_optimal_among_all_scores(rule: str) -> None:
    validation = simulate_predictions(150)
    found = Thresholds.from_validation(validation, rule)
    for label, threshold in enumerate(found.values):
        target, score = validation.target[:, label], validation.score[:, label]

        def quality(cut: float, target: np.ndarray = target, score: np.ndarray = score) -> float:
            called = score >= cut
            if rule == "max-f1":
                return float(f1_score(target, called))
            if rule == "youden":
                return _sensitivity(target, called) - float(called[target == 0].mean())
            return cut if _sensitivity(target, called) >= 0.9 else -1.0

        best = max(quality(cut) for cut in np.unique(score))
        assert quality(threshold) == pytest.approx(best, abs=1e-9)


def test_label_with_one_class_in_validation_has_no_threshold() -> None:
    validation = simulate_predictions(40)
    validation.target[:, 1] = 0
    assert np.isnan(Thresholds.from_validation(validation).values).tolist() == [False, True, False]


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="youden"):
        Thresholds.from_validation(simulate_predictions(10), "best")
