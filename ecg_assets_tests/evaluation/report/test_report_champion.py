from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecg_assets.evaluation import EvaluationResult
from ecg_assets.evaluation.leaderboard import find_rival
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets_tests.evaluation.report.report_material import evaluate_simulated
from ecg_assets_tests.evaluation.simulation import simulate_predictions


def _with_auroc(name: str, auroc: float, evaluation_set: str = "here") -> EvaluationResult:
    result = evaluate_simulated(simulate_predictions(120), name, n_resamples=0)
    labels = result.labels.assign(auroc=auroc)
    return replace(result, labels=labels, evaluation_set=EvaluationSet(evaluation_set, Part.TEST))


def test_others_are_compared_with_the_champion() -> None:
    results = [_with_auroc("a", 0.7), _with_auroc("b", 0.9), _with_auroc("c", 0.8)]
    rival = find_rival(results[0], results)
    assert rival is not None
    assert (rival.champion, rival.other, rival.n_checkpoints) == ("b", "b", 3)


def test_champion_is_compared_with_the_runner_up() -> None:
    results = [_with_auroc("a", 0.7), _with_auroc("b", 0.9), _with_auroc("c", 0.8)]
    rival = find_rival(results[1], results)
    assert rival is not None
    assert (rival.champion, rival.other) == ("b", "c")


def test_only_checkpoint_of_its_set_has_no_rival() -> None:
    alone = _with_auroc("a", 0.7)
    assert find_rival(alone, [alone, _with_auroc("b", 0.9, "elsewhere")]) is None


def test_a_set_of_few_patients_has_no_rival() -> None:
    results = [_with_auroc("a", 0.7), _with_auroc("b", 0.9)]
    small = [replace(result, n_patients=29) for result in results]
    assert find_rival(small[0], small) is None


def test_without_a_label_that_all_define_there_is_no_rival() -> None:
    assert find_rival(_with_auroc("a", 0.7), [_with_auroc("b", np.nan)]) is None


def test_stored_metrics_of_the_same_checkpoint_do_not_count() -> None:
    now, before = _with_auroc("a", 0.7), _with_auroc("a", 0.95)
    rival = find_rival(now, [before, _with_auroc("b", 0.9)])
    assert rival is not None
    assert (rival.champion, rival.other) == ("b", "b")
