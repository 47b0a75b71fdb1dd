"""Planted wrong labels in simulated predictions, and in those of the demo.

``demo_predictions`` holds what ``make demo`` stored of its checkpoint on the synthetic cohort:
the predictions of the validation and of the test split.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from ecg_assets.evaluation.label_noise import (
    LABEL_NOISE,
    NO_LINE,
    WRONG_SHARE,
    ScoreCalibration,
    caption_suspect,
    count_suspects,
    rank_label_noise,
    suspect_labels,
    write_review_list,
)
from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.predictions import Predictions, ValidationPredictions
from ecg_assets_tests.evaluation.noise.planted_flips import measure_planted_flips
from ecg_assets_tests.evaluation.simulation import as_validation

PREVALENCES = (0.4, 0.1, 0.02)
DEMO = Path(__file__).parent / "demo_predictions"


def _simulate(n_records: int, *, seed: int, separation: float = 5.0) -> Predictions:
    """Scores of a model that is sure but badly calibrated: its log odds are half of the true."""
    generator = np.random.default_rng(seed)
    prevalence = np.array(PREVALENCES)
    target = (generator.random((n_records, 3)) < prevalence).astype(np.uint8)
    # A normal score of variance 1 for each class gives log odds that are linear in the score.
    signal = generator.normal(size=target.shape) + separation * (target - 0.5)
    log_odds = separation * signal + np.log(prevalence / (1 - prevalence))
    return Predictions(
        record_ids=np.array([f"r{i}" for i in range(n_records)]),
        subject_ids=np.array([f"p{i}" for i in range(n_records)]),
        vocabulary=LabelVocabulary(("frequent", "usual", "rare"), ("mean",) * 3),
        target=target,
        score=(1 / (1 + np.exp(-log_odds / 2))).astype(np.float32),
    )


@pytest.fixture(scope="module")
def calibration() -> ScoreCalibration:
    return ScoreCalibration.from_validation(as_validation(_simulate(4000, seed=1)))


def _tables(predictions: Predictions) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels and evidence that state just what the targets say."""
    n_records, n_labels = predictions.target.shape
    labels = pd.DataFrame(
        {
            "record_id": np.repeat(predictions.record_ids, n_labels),
            "label": np.tile(predictions.vocabulary.names, n_records),
            "value": predictions.target.ravel(),
            "probability": predictions.target.ravel().astype(float),
        }
    )
    evidence = labels[labels["value"] == 1].drop(columns="value").assign(line_index=0)
    named = "It says " + evidence["label"]
    return labels, evidence.assign(line=named, matched=evidence["label"], rule="stated")


def _turn_over(
    predictions: Predictions, share: float, seed: int
) -> tuple[Predictions, NDArray[np.bool_]]:
    flips = np.random.default_rng(seed).random(predictions.target.shape) < share
    return replace(predictions, target=predictions.target ^ flips), flips


def test_calibration_finds_the_true_log_odds() -> None:
    validation = as_validation(_simulate(20_000, seed=1, separation=2.5))
    calibration = ScoreCalibration.from_validation(validation)
    np.testing.assert_allclose(calibration.slope, 2, rtol=0.1)
    np.testing.assert_allclose(calibration.intercept, 0, rtol=0, atol=0.15)


def test_perfect_separation_gives_no_certainty() -> None:
    validation = as_validation(_simulate(300, seed=1))
    score = np.where(validation.target == 1, 0.999, 0.001).astype(np.float32)
    calibration = ScoreCalibration.from_validation(replace(validation, score=score))
    n_positive = int(validation.target[:, 0].sum())
    highest = calibration.log_odds(np.full((1, 3), 0.999, np.float32))[0, 0]
    assert highest == pytest.approx(np.log(n_positive + 1), rel=1e-3)


def test_suspicion_is_the_share_of_wrong_labels_at_every_prevalence() -> None:
    """Labels turned over at the assumed rate: expected and true number of wrong ones agree."""
    validation = as_validation(_simulate(20_000, seed=1, separation=3.0))
    calibration = ScoreCalibration.from_validation(validation)
    changed, flips = _turn_over(_simulate(40_000, seed=2, separation=3.0), WRONG_SHARE, seed=3)
    suspicion = suspect_labels(calibration, changed, changed.target.astype(float))
    for low, high in ((0.1, 0.5), (0.5, 0.9), (0.9, 1.0)):
        chosen = (suspicion >= low) & (suspicion < high)
        expected, found = suspicion[chosen].mean(), flips[chosen].mean()
        assert found == pytest.approx(expected, abs=0.04)
    np.testing.assert_allclose(suspicion.sum(axis=0), flips.sum(axis=0), rtol=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_planted_flips_rank_in_the_top_5_percent(calibration: ScoreCalibration, seed: int) -> None:
    changed, flips = _turn_over(_simulate(2000, seed=10 + seed), 0.01, seed)
    table = rank_label_noise(calibration, changed, *_tables(changed))
    LABEL_NOISE.from_pandas(table)
    wrong = pd.DataFrame(flips, changed.record_ids, changed.vocabulary.names).stack()
    is_wrong = wrong.reindex(pd.MultiIndex.from_frame(table[["record_id", "label"]])).to_numpy()
    assert is_wrong[: round(0.05 * len(table))].sum() / flips.sum() > 0.97
    assert np.median(table["rank"][is_wrong]) < 0.01 * len(table)


def test_planted_flips_in_the_demo_rank_in_the_top_5_percent() -> None:
    """Of the 1 % of labels turned over, 95 % stand in the top 5 % (5 % by chance)."""
    validation = ValidationPredictions.from_table(pq.read_table(DEMO / "validation.parquet"))
    predictions = Predictions.from_table(pq.read_table(DEMO / "test.parquet"))
    calibration = ScoreCalibration.from_validation(validation)
    stated = predictions.target.astype(np.float64)
    found = measure_planted_flips(calibration, predictions, stated, seed=0, n_draws=20)
    assert found.n_planted == 20 * round(0.01 * predictions.target.size)
    assert found.share_in_top > 0.9
    assert found.median_rank_share < 0.01
    assert calibration.reasons == {}


def test_measure_agrees_with_flips_of_our_own(calibration: ScoreCalibration) -> None:
    predictions = _simulate(1000, seed=4)
    changed, flips = _turn_over(predictions, 0.01, seed=5)
    suspicion = suspect_labels(calibration, changed, changed.target.astype(float))
    limit = np.sort(suspicion, axis=None)[-round(0.05 * suspicion.size)]
    ours = (suspicion[flips] >= limit).mean()
    stated = predictions.target.astype(float)
    measured = measure_planted_flips(calibration, predictions, stated, seed=0)
    assert measured.share_in_top == pytest.approx(ours, abs=0.05)


def test_a_model_that_knows_nothing_doubts_nothing() -> None:
    generator = np.random.default_rng(0)
    guess = generator.random((500, 3)).astype(np.float32)
    validation = replace(as_validation(_simulate(500, seed=1)), score=guess)
    calibration = ScoreCalibration.from_validation(validation)
    assert not calibration.is_known.any()
    predictions = _simulate(100, seed=2)
    table = rank_label_noise(calibration, predictions, *_tables(predictions))
    assert table.empty
    LABEL_NOISE.from_pandas(table)
    assert count_suspects(table).empty
    stated = predictions.target.astype(np.float64)
    found = measure_planted_flips(calibration, predictions, stated, seed=0)
    assert found.n_planted == 0 and np.isnan(found.share_in_top)
    assert "below 0.65" in calibration.reasons[0]


def test_a_label_with_too_few_validation_recordings_is_named_with_the_reason() -> None:
    validation = as_validation(_simulate(300, seed=1))
    validation.target[:, 2] = 0
    calibration = ScoreCalibration.from_validation(validation)
    assert list(calibration.reasons) == [2]
    assert calibration.reasons[2].startswith("0 positive and 300 negative")


def test_test_predictions_cannot_calibrate() -> None:
    with pytest.raises(TypeError, match="ValidationPredictions"):
        ScoreCalibration.from_validation(_simulate(100, seed=1))  # type: ignore[arg-type]


def test_a_hedged_label_is_doubted_before_a_stated_one(calibration: ScoreCalibration) -> None:
    two = _simulate(2, seed=1)
    two = replace(two, target=np.ones_like(two.target), score=np.full_like(two.score, 0.3))
    stated = np.ones(two.target.shape)
    stated[1] = 0.7
    suspicion = suspect_labels(calibration, two, stated)
    assert (suspicion[1] > suspicion[0]).all()


def test_each_doubt_comes_with_the_line_that_speaks_of_the_label(
    calibration: ScoreCalibration,
) -> None:
    predictions = _simulate(50, seed=6)
    predictions.target[:3, 0] = (1, 0, 0)
    labels, evidence = _tables(predictions)
    denial = {"record_id": "r1", "label": "frequent", "line_index": 2, "line": "No such thing"}
    denial |= {"matched": "such thing", "rule": "negated", "probability": 0.0}
    weaker = {**denial, "record_id": "r0", "line": "Maybe", "rule": "possible", "probability": 0.5}
    evidence = pd.concat([pd.DataFrame([denial, weaker]), evidence], ignore_index=True)
    table = rank_label_noise(
        calibration, predictions, labels, evidence.astype({"label": "category"})
    )
    found = table[table["label"] == "frequent"].set_index("record_id")
    assert found["line"]["r0"] == "It says frequent"
    assert (found["line"]["r1"], found["rule"]["r1"]) == ("No such thing", "negated")
    assert pd.isna(found["line"]["r2"]) and found["rule"]["r2"] == NO_LINE
    assert len(table) == 150 and table["rank"].tolist() == list(range(1, 151))


def test_labels_that_have_gone_since_count_as_stated(calibration: ScoreCalibration) -> None:
    predictions = _simulate(50, seed=6)
    labels, evidence = _tables(predictions)
    fewer = labels[labels["record_id"] != "r7"]
    all_, left = (
        rank_label_noise(calibration, predictions, table, evidence) for table in (labels, fewer)
    )
    np.testing.assert_array_equal(all_["suspicion"], left["suspicion"])
    assert left["probability"].isna().sum() == 3


def test_review_list_has_empty_columns_and_the_caption_no_text(
    calibration: ScoreCalibration, tmp_path: Path
) -> None:
    predictions = _simulate(300, seed=7)
    table = rank_label_noise(calibration, predictions, *_tables(predictions))
    write_review_list(table, tmp_path / "labels.csv", n_rows=20)
    read = pd.read_csv(tmp_path / "labels.csv")
    assert read["rank"].tolist() == list(range(1, 21))
    assert read[["decision", "reviewer", "remark"]].isna().all(axis=None)
    formula = table.assign(line="=HYPERLINK(1)")
    write_review_list(formula, tmp_path / "labels.csv", n_rows=20)
    assert set(pd.read_csv(tmp_path / "labels.csv")["line"]) == {"'=HYPERLINK(1)"}
    captions = [caption_suspect(row) for _, row in table.iterrows()]
    assert not any("It says" in caption for caption in captions)
    counts = count_suspects(table)
    assert counts["pairs"].sum() == len(table) and counts["top"].sum() == 45
