"""Predicted shares by shard, and the calibration line, against the validation split's."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation import evaluate_checkpoint
from ecg_assets.evaluation.leaderboard import LEADERBOARD, draw_leaderboard
from ecg_assets.evaluation.sets import EvaluationSet, Part
from ecg_assets.evaluation.shift.from_validation import (
    compare_calibration,
    compare_predicted_shares,
)
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets_tests.evaluation.simulation import simulate_predictions, simulate_validation

N_SHARDS = 5


def _shards(predictions: Predictions) -> NDArray[np.str_]:
    """Shards that split no patient, as those of a dataset."""
    number = predictions.subject_ids.astype(np.int64) % N_SHARDS
    return np.array([f"p{k}" for k in number])


def test_without_a_shift_there_are_few_alarms() -> None:
    """Forty draws of 15 comparisons: at 5 % over each, some two alarms are to be expected."""
    validation = simulate_validation(600, seed=100)
    alarms = 0
    for seed in range(40):
        predictions = simulate_predictions(600, seed=seed)
        table = compare_predicted_shares(validation, predictions, _shards(predictions))
        alarms += bool(table["is_shifted"].any())
    assert alarms <= 6


def test_the_shifted_shard_and_label_alone_are_found() -> None:
    predictions = simulate_predictions(900, seed=2)
    shards = _shards(predictions)
    score = predictions.score.copy()
    score[shards == "p3", 1] = 0.99
    planted = dataclasses.replace(predictions, score=score)
    table = compare_predicted_shares(simulate_validation(900, seed=1), planted, shards)
    found = table[table["is_shifted"]]
    assert found[["shard", "label"]].to_numpy().tolist() == [["p3", "label 1"]]
    assert found["share"].tolist() == [1.0]
    assert len(table) == N_SHARDS * 3


def test_a_label_without_a_threshold_is_left_out() -> None:
    validation = simulate_validation(300, seed=1)
    target = validation.target.copy()
    target[:, 0] = 0
    predictions = simulate_predictions(300, seed=2)
    one_sided = dataclasses.replace(validation, target=target)
    table = compare_predicted_shares(one_sided, predictions, _shards(predictions))
    assert set(table["label"]) == {"label 1", "label 2"}


def _compare(validation: ValidationPredictions, predictions: Predictions) -> pd.DataFrame:
    result = evaluate_checkpoint(
        validation,
        predictions,
        checkpoint="tiny",
        evaluation_set=EvaluationSet("synthetic", Part.TEST),
        signal_spec={},
        lineage={},
        n_resamples=200,
    )
    return compare_calibration(validation, result).set_index("metric")


def test_scores_that_became_too_extreme_are_a_shift_of_the_slope() -> None:
    validation = simulate_validation(600, seed=1, decimals=6)
    predictions = simulate_predictions(600, seed=2, decimals=6)
    assert not _compare(validation, predictions)["is_shifted"].any()
    odds = (predictions.score / (1 - predictions.score)) ** 3
    extreme = dataclasses.replace(predictions, score=(odds / (1 + odds)).astype(np.float32))
    table = _compare(validation, extreme)
    assert table["is_shifted"]["calibration_slope"]
    assert table["high"]["calibration_slope"] < table["validation_low"]["calibration_slope"]


def test_few_patients_are_not_judged() -> None:
    predictions = simulate_predictions(60, seed=2, decimals=6)
    score = np.where(predictions.score > 0.5, 0.999, 0.001).astype(np.float32)
    table = _compare(simulate_validation(60, seed=1), dataclasses.replace(predictions, score=score))
    assert table[["low", "high", "validation_low", "validation_high"]].isna().all(axis=None)
    assert not table["is_shifted"].any()


def test_a_leaderboard_without_numbers_has_no_picture() -> None:
    assert draw_leaderboard(LEADERBOARD.empty()) is None
