from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from ecg_assets.evaluation import THRESHOLD_RULES, Thresholds
from ecg_assets.evaluation.thresholds import threshold_table
from ecg_assets_tests.evaluation.simulation import simulate_predictions, simulate_validation


def _sensitivity(target: np.ndarray, called: np.ndarray) -> float:
    return float(called[target == 1].mean())


@pytest.mark.parametrize("rule", sorted(THRESHOLD_RULES))
def test_rule_is_optimal_among_all_scores(rule: str) -> None:
    validation = simulate_validation(150)
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
    validation = simulate_validation(40)
    validation.target[:, 1] = 0
    assert np.isnan(Thresholds.from_validation(validation).values).tolist() == [False, True, False]


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="youden"):
        Thresholds.from_validation(simulate_validation(10), "best")


def test_evaluated_set_cannot_choose_thresholds() -> None:
    with pytest.raises(TypeError, match="never from the evaluated set"):
        Thresholds.from_validation(simulate_predictions(40))  # type: ignore[arg-type]


def test_table_has_each_rules_threshold_and_what_it_gives() -> None:
    validation, predictions = simulate_validation(150), simulate_predictions(90, seed=4)
    chosen = [Thresholds.from_validation(validation, rule) for rule in THRESHOLD_RULES]
    table = threshold_table(predictions, chosen)
    assert table["label"].tolist() == np.repeat(predictions.vocabulary.names, 3).tolist()
    for label, name in enumerate(predictions.vocabulary.names):
        rows = table[table["label"] == name]
        assert rows["rule"].tolist() == list(THRESHOLD_RULES)
        for row in rows.to_dict("records"):
            called = predictions.score[:, label] >= row["threshold"]
            found = f1_score(predictions.target[:, label], called)
            assert row["f1"] == pytest.approx(found, abs=1e-12)
