from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecg_assets.evaluation import (
    LEADERBOARD,
    EvaluationResult,
    build_leaderboard,
    compare_predictions,
    evaluate_checkpoint,
    find_champions,
    find_compared_labels,
)
from ecg_assets.models.predictions import Predictions
from ecg_assets_tests.evaluation.simulation import (
    blur,
    simulate_predictions,
    simulate_validation,
)


def _evaluate(
    predictions: Predictions,
    checkpoint: str,
    *,
    evaluation_set: str = "a",
    unmapped: dict[str, str] | None = None,
) -> EvaluationResult:
    return evaluate_checkpoint(
        simulate_validation(60, seed=1),
        predictions,
        checkpoint=checkpoint,
        source="synthetic",
        evaluation_set=evaluation_set,
        signal_spec={},
        lineage={},
        n_resamples=20,
        unmapped=unmapped,
    )


def test_champion_has_the_best_macro_auroc_and_the_others_are_judged_by_pairs() -> None:
    best = simulate_predictions(300)
    scored = {"worse": blur(best, noise=1), "best": best, "near": blur(best, noise=0.02)}
    results = [_evaluate(p, name) for name, p in scored.items()]
    assert find_champions(results) == {"a": "best"}
    differences = {
        ("a", name): compare_predictions(p, best, n_resamples=100, seed=0)
        for name, p in scored.items()
        if name != "best"
    }
    table = build_leaderboard(results, differences)
    LEADERBOARD.from_pandas(table)
    assert table["checkpoint"].tolist() == ["best", "near", "worse"]
    assert table["verdict"].tolist() == ["champion", "not distinguishable", "worse"]
    assert table["is_champion"].tolist() == [True, False, False]
    assert table["rank"].tolist() == [1, 2, 3]
    expected = table["macro_auroc"] - table["macro_auroc"][0]
    assert table["difference"][1:].to_numpy() == pytest.approx(expected[1:].to_numpy())


def test_ties_go_by_name_and_each_set_has_its_own_champion() -> None:
    p = simulate_predictions(60)
    results = [
        _evaluate(p, "b"),
        _evaluate(p, "a"),
        _evaluate(p, "c", evaluation_set="other set"),
    ]
    table = build_leaderboard(results)
    assert find_champions(results) == {"a": "a", "other set": "c"}
    assert table["checkpoint"].tolist() == ["a", "b", "c"]
    assert table["verdict"].tolist() == ["champion", "not compared", "champion"]


def test_only_labels_that_are_defined_for_all_are_compared() -> None:
    p = simulate_predictions(60)
    results = [_evaluate(p, "a"), _evaluate(p, "b", unmapped={"label 0": "no code"})]
    assert find_compared_labels(results) == ["label 1", "label 2"]
    table = build_leaderboard(results)
    assert (table["n_labels"] == 2).all()
    assert table["macro_auroc"][0] == table["macro_auroc"][1]
    # The first one's own interval is of three labels: it says nothing about these two.
    low = table.set_index("checkpoint")["macro_auroc_low"]
    assert np.isnan(low["a"]) and np.isfinite(low["b"])


def test_set_without_a_shared_label_has_no_champion() -> None:
    p = simulate_predictions(60)
    p.target[:] = 0
    results = [_evaluate(p, "a")]
    assert find_champions(results) == {}
    table = build_leaderboard(results)
    assert table["is_champion"].tolist() == [False] and table["n_labels"].tolist() == [0]
    assert pd.isna(table["macro_auroc"][0])
    LEADERBOARD.from_pandas(table)
