"""What a notebook computes of a deployment's results is what the deployment stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

import ecg_assets
from ecg_assets.evaluation.result import EvaluationResult, read_result
from ecg_assets.models import Predictions
from ecg_assets_tests.defs.small_job import SmallJob


def test_scores_and_metrics_are_those_of_the_platform(finished: SmallJob) -> None:
    settings, (checkpoint, *_) = finished.settings, finished.checkpoints
    model = ecg_assets.from_pretrained(settings.store.checkpoints / checkpoint, device="cpu")
    shards = ecg_assets.open_shards(Path(settings.data_dir), settings.source)
    path = settings.stored.folder("predictions") / f"{checkpoint}.parquet"
    stored = Predictions.from_table(pq.read_table(path))
    ids = stored.record_ids.tolist()
    scores = model.predict_records(shards, ids)
    np.testing.assert_allclose(scores.to_numpy(), stored.score, atol=2e-6)
    result = read_result(settings.stored.folder("eval_metrics") / f"{checkpoint}.json")
    assert isinstance(result, EvaluationResult)
    found = ecg_assets.evaluate(
        model, shards, record_ids=ids, n_resamples=result.n_resamples, seed=result.seed
    )
    pd.testing.assert_frame_equal(found.table, result.to_table(), atol=1e-5)
    assert found.left_out == {}
    expected = shards.labels().loc[ids, list(stored.vocabulary.names)].astype(float)
    np.testing.assert_array_equal(expected, stored.target)
    assert set(shards.splits()[ids]) == {"test"}
