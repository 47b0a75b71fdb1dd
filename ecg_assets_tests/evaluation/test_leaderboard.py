from __future__ import annotations

from dataclasses import replace

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
from ecg_assets.evaluation.leaderboard import find_rival
from ecg_assets.evaluation.sets import EvaluationSet, Part, Relation
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
        evaluation_set=EvaluationSet(evaluation_set, Part.TEST),
        signal_spec={},
        lineage={},
        n_resamples=20,
        unmapped=unmapped,
    )


def test_champion_has_the_best_macro_auroc_and_the_others_are_judged_by_pairs() -> None:
    best = simulate_predictions(300)
    scored = {"worse": blur(best, noise=1), "best": best, "near": blur(best, noise=0.02)}
    results = [_evaluate(p, name) for name, p in scored.items()]
    (evaluation_set,) = {result.evaluation_set for result in results}
    assert find_champions(results) == {evaluation_set: "best"}
    differences = {
        (evaluation_set, name): compare_predictions(p, best, n_resamples=100, seed=0)
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


def test_a_set_of_few_patients_has_no_champion_and_no_verdict() -> None:
    """Whatever a result of another version holds: it is read without its tight intervals."""
    p = simulate_predictions(120)
    p.subject_ids[:] = (np.arange(120) % 2).astype(str)
    tight = evaluate_checkpoint(
        simulate_validation(60, seed=1),
        p,
        checkpoint="a",
        evaluation_set=EvaluationSet("a", Part.TEST),
        signal_spec={},
        lineage={},
        n_resamples=20,
        least_patients=1,
    )
    assert np.isfinite(tight.macro["auroc_low"])
    results = [EvaluationResult.from_json(tight.to_json()), _evaluate(blur(p, noise=1), "b")]
    differences = {
        (results[0].evaluation_set, "b"): compare_predictions(
            blur(p, noise=1), p, n_resamples=20, seed=0, least_patients=1
        )
    }
    assert find_champions(results) == {}
    table = build_leaderboard(results, differences)
    assert table["verdict"].tolist() == ["fewer than 30 patients"] * 2
    assert not table["is_champion"].any()
    assert table.filter(regex="_low|_high|difference").isna().all(axis=None)
    assert table["macro_auroc"].notna().all()


def test_ties_go_by_name_and_each_set_has_its_own_champion() -> None:
    p = simulate_predictions(120)
    results = [
        _evaluate(p, "b"),
        _evaluate(p, "a"),
        _evaluate(p, "c", evaluation_set="other set"),
    ]
    table = build_leaderboard(results)
    found = {one.source: champion for one, champion in find_champions(results).items()}
    assert found == {"a": "a", "other set": "c"}
    assert table["checkpoint"].tolist() == ["a", "b", "c"]
    assert table["verdict"].tolist() == ["champion", "not compared", "champion"]


def test_only_labels_that_are_defined_for_all_are_compared() -> None:
    p = simulate_predictions(120)
    whole, lacking = _evaluate(p, "a"), _evaluate(p, "b")
    labels = lacking.labels.assign(auroc=lacking.labels["auroc"].where(lacking.labels.index > 0))
    results = [whole, replace(lacking, labels=labels)]
    assert find_compared_labels(results) == ["label 1", "label 2"]
    table = build_leaderboard(results)
    assert (table["n_labels"] == 2).all()
    assert table["macro_auroc"][0] == table["macro_auroc"][1]
    # The first one's own interval is of three labels: it says nothing about these two.
    low = table.set_index("checkpoint")["macro_auroc_low"]
    assert np.isnan(low["a"]) and np.isfinite(low["b"])


def test_set_without_a_shared_label_has_no_champion() -> None:
    p = simulate_predictions(120)
    p.target[:] = 0
    results = [_evaluate(p, "a")]
    assert find_champions(results) == {}
    table = build_leaderboard(results)
    assert table["is_champion"].tolist() == [False] and table["n_labels"].tolist() == [0]
    assert pd.isna(table["macro_auroc"][0])
    LEADERBOARD.from_pandas(table)


def test_only_the_same_recordings_with_the_same_labels_are_compared() -> None:
    p = simulate_predictions(120)
    fewer = replace(
        p,
        record_ids=p.record_ids[:-1],
        subject_ids=p.subject_ids[:-1],
        target=p.target[:-1],
        score=p.score[:-1],
    )
    relabelled = replace(p, target=np.roll(p.target, 1, axis=0))
    shuffled = np.arange(len(p))[::-1]
    same = replace(
        p,
        record_ids=p.record_ids[shuffled],
        subject_ids=p.subject_ids[shuffled],
        target=p.target[shuffled],
        score=p.score[shuffled],
    )
    scored = {"a": p, "b": same, "fewer": fewer, "relabelled": relabelled}
    table = build_leaderboard([_evaluate(one, name) for name, one in scored.items()])
    assert table.groupby("content_sha256")["checkpoint"].agg(sorted).tolist().count(["a", "b"]) == 1
    assert table["content_sha256"].nunique() == 3
    assert table.groupby("content_sha256")["evaluation_set"].nunique().eq(1).all()
    assert table["evaluation_set"].nunique() == 3


def test_one_set_has_one_name_whatever_it_is_to_a_checkpoint() -> None:
    p = simulate_predictions(120)
    external = replace(_evaluate(p, "a"), relation=Relation.EXTERNAL)
    shared = replace(_evaluate(p, "b"), relation=Relation.SHARED)
    table = build_leaderboard([external, shared])
    assert table["evaluation_set"].nunique() == 1
    assert table["relation"].tolist() == ["external", "overlaps with the training data"]


def test_one_that_saw_patients_of_the_set_is_no_champion() -> None:
    p = simulate_predictions(120)
    honest = _evaluate(blur(p, noise=1), "honest")
    seen = {
        "training": "t",
        "kind": "fine-tuning",
        "source": "a",
        "split_rule": "",
        "statement": "",
    }
    leaking = replace(
        _evaluate(p, "leaking"),
        seen_in_training=[{**seen, "evaluated_patients_seen": 3, "is_leak": True}],
    )
    table = build_leaderboard([honest, leaking]).set_index("checkpoint")
    assert table["macro_auroc"]["leaking"] > table["macro_auroc"]["honest"]
    assert table["is_champion"].to_dict() == {"leaking": False, "honest": True}
    assert table["patients_seen"]["leaking"] == 3
    LEADERBOARD.from_pandas(table.reset_index())


def _of_weights(name: str, weights: str, predictions: Predictions) -> EvaluationResult:
    return replace(_evaluate(predictions, name), lineage={"weights": weights})


def test_copies_are_one_candidate_under_the_name_that_was_first() -> None:
    best = simulate_predictions(300)
    other = blur(best, noise=1)
    first = _of_weights("trained", "4f", best)
    results = [first, _of_weights("other", "7a", other), _of_weights("a-copy", "4f", best)]
    assert find_champions(results) == {first.evaluation_set: "trained"}
    table = build_leaderboard(results)
    LEADERBOARD.from_pandas(table)
    assert table["checkpoint"].tolist() == ["trained", "a-copy", "other"]
    assert table["copy_of"].tolist() == [None, "trained", None]
    assert table["verdict"].tolist() == ["champion", "copy of the champion", "not compared"]
    assert table["is_champion"].tolist() == [True, False, False]


def test_a_checkpoint_is_not_compared_with_its_own_copy() -> None:
    best = simulate_predictions(300)
    trained = _of_weights("trained", "4f", best)
    copy = _of_weights("a-copy", "4f", best)
    other = _of_weights("other", "7a", blur(best, noise=1))
    for result in (trained, copy):
        rival = find_rival(result, [trained, copy, other])
        assert rival is not None
        assert (rival.champion, rival.other, rival.n_checkpoints) == ("trained", "other", 2)
    assert find_rival(copy, [trained, copy]) is None


def test_what_a_copy_saw_its_original_saw() -> None:
    """The file that says it may be missing in either."""
    best = simulate_predictions(300)
    trained = _of_weights("trained", "4f", best)
    leak = [{"evaluated_patients_seen": 1, "is_leak": True, "kind": "fine-tuning"}]
    copy = replace(_of_weights("a-copy", "4f", best), seen_in_training=leak)
    other = _of_weights("other", "7a", blur(best, noise=1))
    assert set(find_champions([trained, copy, other]).values()) == {"other"}


def test_the_same_weights_with_other_labels_are_no_copy() -> None:
    best = simulate_predictions(300)
    trained = _of_weights("trained", "4f", best)
    other = replace(_of_weights("other", "4f", best), label_vocabulary={"names": ["a"]})
    assert build_leaderboard([trained, other])["copy_of"].tolist() == [None, None]
