from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from ecg_assets.errors import SchemaError
from ecg_assets.labels import LabelVocabulary
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.probabilities import aggregate_segments

VOCABULARY = LabelVocabulary(("AF", "1st degree/AV block"), ("mean", "max"))


@pytest.fixture()
def predictions() -> Predictions:
    return Predictions(
        record_ids=np.array(["a", "b", "c"]),
        subject_ids=np.array(["1", "1", "2"]),
        vocabulary=VOCABULARY,
        target=np.array([[0, 1], [1, 1], [0, 0]], np.uint8),
        score=np.array([[0.1, 1], [0.25, 1e-7], [0, 0.5]], np.float32),
    )


def test_predictions_survive_parquet(predictions: Predictions, tmp_path: Path) -> None:
    pq.write_table(predictions.to_table(), tmp_path / "p.parquet")
    found = Predictions.from_table(pq.read_table(tmp_path / "p.parquet"))
    assert found.vocabulary == VOCABULARY
    for name in ("record_ids", "subject_ids", "target", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(predictions, name))
        assert getattr(found, name).dtype == getattr(predictions, name).dtype


def test_columns_name_their_label(predictions: Predictions) -> None:
    assert predictions.to_table().column_names == [
        "record_id",
        "subject_id",
        "score/AF",
        "score/1st degree/AV block",
        "target/AF",
        "target/1st degree/AV block",
    ]


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.5])
def test_a_score_that_is_no_probability_is_refused(predictions: Predictions, bad: float) -> None:
    score = predictions.score.copy()
    score[1, 1] = bad
    with pytest.raises(ValueError, match="1 values that are not from 0 to 1"):
        replace(predictions, score=score)


def test_a_recording_cannot_be_predicted_twice(predictions: Predictions) -> None:
    with pytest.raises(ValueError, match="twice"):
        replace(predictions, record_ids=np.array(["a", "b", "a"]))


def test_scores_of_other_labels_are_refused(predictions: Predictions) -> None:
    with pytest.raises(ValueError, match=r"score is float32 \(3, 1\)"):
        replace(predictions, score=predictions.score[:, :1])


def test_a_table_without_vocabulary_or_column_is_refused(predictions: Predictions) -> None:
    table = predictions.to_table()
    with pytest.raises(SchemaError, match="no label vocabulary"):
        Predictions.from_table(table.replace_schema_metadata(None))
    with pytest.raises(SchemaError, match="'target/AF'"):
        Predictions.from_table(table.drop_columns(["target/AF"]))


def test_aggregation_is_each_labels_mean_or_maximum() -> None:
    random = np.random.default_rng(0)
    record = np.repeat(np.arange(50), random.integers(1, 4, 50))
    score = random.random((len(record), 2)).astype(np.float32)
    grouped = pd.DataFrame(score).groupby(record)
    found = aggregate_segments(score, record, VOCABULARY)
    np.testing.assert_allclose(found[:, 0], grouped[0].mean(), rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], grouped[1].max())


def test_segments_of_a_recording_must_stand_together() -> None:
    with pytest.raises(ValueError, match="rise by 0 or 1"):
        aggregate_segments(np.zeros((3, 2), np.float32), np.array([0, 1, 0]), VOCABULARY)
