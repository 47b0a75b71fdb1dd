from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ecg_assets.build import SignalCache
from ecg_assets.errors import BadRecord
from ecg_assets.evaluation.embedding_map import draw_embedding_map
from ecg_assets.models import apply, scoring
from ecg_assets.models.apply import AppliedModel, apply_to_shards, write_applied
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.saliency import explain_recordings
from ecg_assets.models.scoring import predict_records
from ecg_assets.preprocess import ShardDataset, preprocess_shard, write_shard
from ecg_assets.sources import MISSING
from ecg_assets_tests.models.toy_recordings import RATE, SPEC, VOCABULARY, toy_manifest
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record

LENGTHS = (700, 650, 299, 300, 900, 700)
REASON = ["", "", "too_short", "", "", ""]


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    torch.manual_seed(0)
    config = ecg_fm_config("tiny", n_channels=1, n_labels=len(VOCABULARY))
    spec = replace(SPEC, n_channels=1)
    return TrainedModel(EcgFmForClassification(config).eval(), spec, VOCABULARY)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardDataset:
    """Six recordings, one of them shorter than a segment of 0.6 s."""
    root = tmp_path_factory.mktemp("root")
    names = [f"record_{i:04}" for i in range(len(LENGTHS))]
    for number, (name, length) in enumerate(zip(names, LENGTHS, strict=True)):
        write_record(root / name, make_signal(1, length, seed=number), sample_rate_hz=RATE)
    path = root / "p1000.parquet"
    write_shard(preprocess_shard(record_list(names), root, ["I"]), path, root / "rejects")
    return ShardDataset({"p1000": path})


def test_scores_are_those_of_the_evaluation(
    trained: TrainedModel, shards: ShardDataset, tmp_path: Path
) -> None:
    (applied,) = apply_to_shards(trained, shards, device="cpu")
    kept = [i for i, length in enumerate(LENGTHS) if length >= SPEC.segment_samples]
    manifest = replace(toy_manifest(len(LENGTHS)), spec=trained.spec)
    index = manifest.index.iloc[kept].reset_index(drop=True)
    cache = SignalCache.open(index, shards["p1000"].parent, trained.spec, tmp_path)
    expected = predict_records(
        trained,
        replace(manifest, index=index, targets=manifest.targets[kept]),
        cache,
        np.arange(len(kept)),
        device="cpu",
    )
    assert np.array(applied.record_ids)[kept].tolist() == expected.record_ids.tolist()
    np.testing.assert_allclose(applied.score[kept], expected.score, rtol=0, atol=1e-6)
    assert applied.n_segments.tolist() == [2, 2, 0, 1, 2, 2]
    assert applied.reason.tolist() == REASON


def test_small_batches_give_the_same_and_embeddings_lead_to_the_scores(
    trained: TrainedModel, shards: ShardDataset
) -> None:
    (whole,) = apply_to_shards(trained, shards, device="cpu")
    parts = list(apply_to_shards(trained, shards, device="cpu", n_records=2))
    assert len(parts) == 3
    np.testing.assert_allclose(
        np.concatenate([part.embedding for part in parts]), whole.embedding, rtol=0, atol=1e-6
    )
    assert np.isnan(whole.score[2]).all() and np.isnan(whole.embedding[2]).all()
    one = whole.n_segments == 1  # there aggregating changes nothing
    with torch.inference_mode():
        logits = trained.model.head(torch.from_numpy(whole.embedding[one]))
    np.testing.assert_allclose(whole.score[one], torch.sigmoid(logits).numpy(), rtol=0, atol=1e-6)


def test_the_next_recordings_are_computed_before_those_before_are_waited_for(
    trained: TrainedModel, shards: ShardDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def noted(call: Callable[..., Any]) -> Callable[..., Any]:
        def one(*rest: Any, **named: Any) -> Any:
            done.append(call.__name__)
            return call(*rest, **named)

        return one

    for call in (scoring.start_model, scoring.fetch_outputs):
        monkeypatch.setattr(apply, call.__name__, noted(call))
    found = apply_to_shards(trained, shards, device="cpu", n_records=1)
    assert sum(batch.is_scored.sum() for batch in found) == REASON.count("")
    start, fetch = "start_model", "fetch_outputs"
    # The third is too short.
    assert done == [start, start, fetch, fetch, start, start, fetch, start, fetch, fetch]


def test_files_hold_a_row_a_recording(
    trained: TrainedModel, shards: ShardDataset, tmp_path: Path
) -> None:
    (whole,) = apply_to_shards(trained, shards, device="cpu")
    paths = tmp_path / "embeddings.parquet", tmp_path / "scores.parquet"
    done: list[int] = []
    batches = apply_to_shards(trained, shards, device="cpu", n_records=4)
    counts = write_applied(batches, VOCABULARY, *paths, progress=done.append)
    assert counts == {"": 5, "too_short": 1}
    assert done == [4, 6]
    embeddings, scores = (pq.read_table(path) for path in paths)
    assert embeddings["record_id"].to_pylist() == whole.record_ids
    vectors = np.stack(embeddings["embedding"].drop_null().to_numpy())
    np.testing.assert_allclose(vectors, whole.embedding[whole.is_scored], rtol=0, atol=1e-6)
    common = ["record_id", "shard", "n_segments", "reason"]
    assert scores.column_names == [*common, *VOCABULARY.names]
    assert scores["reason"].to_pylist() == [reason or None for reason in REASON]
    found = scores["inverted"].to_pandas().to_numpy()
    np.testing.assert_allclose(found, whole.score[:, 1], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("value", "n_lost"), [(0, 700), (MISSING, 700), (0, 600)])
def test_a_recording_without_signal_has_a_reason_and_no_number(
    trained: TrainedModel, tmp_path: Path, value: int, n_lost: int
) -> None:
    """All zero, or all missing, in the 1.2 s that are used: its score would be the model's bias."""
    names = ["record_0000", "record_0001", "record_0002"]
    for number, name in enumerate(names):
        signal = make_signal(1, 700, seed=number)
        if number == 1:
            signal[:, :n_lost] = value
        write_record(tmp_path / name, signal)
    shard = tmp_path / "p1000.parquet"
    write_shard(preprocess_shard(record_list(names), tmp_path, ["I"]), shard, tmp_path / "rejects")
    shards = ShardDataset({"p1000": shard})
    paths = tmp_path / "embeddings.parquet", tmp_path / "scores.parquet"
    counts = write_applied(apply_to_shards(trained, shards, device="cpu"), VOCABULARY, *paths)
    assert counts == {"": 2, "no_signal": 1}
    embeddings, scores = (pq.read_table(path) for path in paths)
    assert scores["reason"].to_pylist() == [None, "no_signal", None]
    for column in (embeddings["embedding"], *map(scores.column, VOCABULARY.names)):
        assert column.is_valid().to_pylist() == [True, False, True]
    assert draw_embedding_map(*paths, VOCABULARY.names[0]) is None  # two are no map
    signals = shards.read_records(names, trained.spec.leads)
    with pytest.raises(BadRecord, match="record_0001: all samples that are used of its leads"):
        explain_recordings(trained, signals, 0, "integrated-gradients")


def test_a_failing_run_leaves_no_file(trained: TrainedModel, tmp_path: Path) -> None:
    def batches() -> Iterator[AppliedModel]:
        yield from ()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_applied(batches(), VOCABULARY, tmp_path / "a", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
