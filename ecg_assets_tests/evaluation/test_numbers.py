"""Evaluations of predicted numbers: result, page, leaderboard and differences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation import EvaluationResult, build_leaderboard, compare_predictions
from ecg_assets.evaluation.evaluate import evaluate_checkpoint
from ecg_assets.evaluation.leaderboard import (
    LEADERBOARD,
    LEADERBOARD_WITH_NUMBERS,
    draw_leaderboard,
    find_champions,
)
from ecg_assets.evaluation.report.document import Background, Difference
from ecg_assets.evaluation.report.page import write_report
from ecg_assets.evaluation.report.regression import (
    REGRESSION_PAGE,
    SCATTER,
    build_regression_document,
    draw_scatter,
)
from ecg_assets.evaluation.result import METRIC_TABLE
from ecg_assets.evaluation.sets import EvaluationSet, Part, Relation
from ecg_assets.labels import LabelVocabulary
from ecg_assets.metrics.regression import describe_numbers
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets.preprocess import SignalSpec

VOCABULARY = LabelVocabulary(("age", "LVEF"), ("mean", "mean"), ("years", "%"))
N = 200


def _predictions(
    noise: float = 8.0, *, kind: type[Predictions] = Predictions, vocabulary: Any = VOCABULARY
) -> Any:
    generator = np.random.default_rng(0)
    target = generator.normal((60, 55), (15, 10), (N, 2)).astype(np.float32)
    target[generator.random(N) < 0.5, 1] = np.nan
    error = np.random.default_rng(1).normal(0, noise, (N, 2))
    score = np.where(np.isnan(target), 50, target) + error
    ids = np.array([f"r{i:03}" for i in range(N)])
    patients = np.array([f"p{i // 2:03}" for i in range(N)])
    return kind(ids, patients, vocabulary, target, score.astype(np.float32))


def _evaluate(name: str = "one", noise: float = 8.0) -> EvaluationResult:
    return evaluate_checkpoint(
        _predictions(noise, kind=ValidationPredictions),
        _predictions(noise),
        checkpoint=name,
        evaluation_set=EvaluationSet("synthetic", Part.TEST),
        relation=Relation.OWN,
        signal_spec=SignalSpec().to_json(),
        lineage={"weights": name},
        n_resamples=100,
    )


def test_result_has_each_target_on_its_measured_recordings() -> None:
    result, predictions = _evaluate(), _predictions()
    expected = describe_numbers(predictions.target, predictions.score)
    np.testing.assert_allclose(result.labels[["r2", "mae", "rmse", "pearson"]], expected)
    known = ~np.isnan(predictions.target)
    assert result.labels["n"].tolist() == known.sum(axis=0).tolist()
    assert result.macro["r2"] == pytest.approx(expected[:, 0].mean())
    assert np.isnan(result.macro["mae"])
    assert (result.labels["r2_low"] < result.labels["r2"]).all()


def test_result_is_read_back_as_it_was_written() -> None:
    result = _evaluate()
    stored = json.loads(json.dumps(result.to_json(), allow_nan=False))
    found = EvaluationResult.from_json(stored)
    assert found.to_json() == result.to_json()
    METRIC_TABLE.from_pandas(found.to_table())
    table = found.to_table().set_index(["label", "metric"])
    assert table.loc[("macro", "mae"), "undefined"] == "no mean over targets: it is in their units"
    assert table["undefined"].isna()["age", "r2"]


def test_page_shows_each_target_and_no_number_that_its_document_lacks(tmp_path: Path) -> None:
    result, other = _evaluate(), _predictions(noise=15.0)
    table = compare_predictions(_predictions(), other, n_resamples=50, seed=0)
    difference = Difference("one", "two", None, 2, table, 50, 0)
    document = build_regression_document(result, difference, "", Background())
    picture = draw_scatter(_predictions())
    page = write_report(
        document, tmp_path / "r", pictures={SCATTER: picture}, tables={}, template=REGRESSION_PAGE
    )
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") == 1
    for word in ("LVEF", "years", "Pearson r", "runner-up"):
        assert word in text
    alone = build_regression_document(result, None, "no other checkpoint", Background())
    write_report(alone, tmp_path / "a", pictures={}, tables={}, template=REGRESSION_PAGE)


def test_leaderboard_ranks_by_r2_and_pairs_differences() -> None:
    results = [_evaluate("worse", 20.0), _evaluate("better", 5.0)]
    (one,) = find_champions(results)
    assert find_champions(results)[one] == "better"
    table = compare_predictions(_predictions(20.0), _predictions(5.0), n_resamples=100, seed=0)
    board = build_leaderboard(results, {(one, "worse"): table})
    LEADERBOARD_WITH_NUMBERS.from_pandas(board)
    assert board["checkpoint"].tolist() == ["better", "worse"]
    assert board["verdict"].tolist() == ["champion", "worse"]
    expected = results[0].macro["r2"] - results[1].macro["r2"]
    assert board["difference"].iloc[1] == pytest.approx(expected)
    assert draw_leaderboard(board) is not None


def test_leaderboard_of_labels_has_its_columns_alone() -> None:
    assert list(build_leaderboard([]).columns) == [column.name for column in LEADERBOARD.columns]


def test_equal_predictions_do_not_differ() -> None:
    table = compare_predictions(_predictions(), _predictions(), n_resamples=20, seed=0)
    of_r2 = table[table["metric"] == "r2"]
    assert of_r2["difference"].eq(0).all()


def test_numbers_are_not_compared_with_labels() -> None:
    labels = LabelVocabulary(("age", "LVEF"), ("mean", "mean"))
    one = _predictions()
    target = np.zeros((N, 2), np.uint8)
    other = Predictions(one.record_ids, one.subject_ids, labels, target, target.astype(np.float32))
    with pytest.raises(SpecMismatch, match="Cannot compare"):
        compare_predictions(one, other, n_resamples=0, seed=0)


def test_stored_predictions_of_numbers_are_read_back() -> None:
    one = _predictions()
    found = Predictions.from_table(one.to_table())
    np.testing.assert_array_equal(found.target, one.target)
    np.testing.assert_array_equal(found.score, one.score)
    assert found.vocabulary == VOCABULARY
