from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ecg_assets.build import SignalCache
from ecg_assets.models.applied_files import write_applied
from ecg_assets.models.apply import AppliedModel, apply_to_shards
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.inference import predict_records
from ecg_assets.preprocess import ShardDataset, preprocess_shard, write_shard
from ecg_assets_tests.models.toy_recordings import SPEC, VOCABULARY, toy_manifest
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record

LENGTHS = (700, 650, 299, 300, 900, 700)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    torch.manual_seed(0)
    config = ecg_fm_config("tiny", n_channels=1, n_labels=len(VOCABULARY))
    spec = replace(SPEC, n_channels=1)
    return TrainedModel(EcgFmForClassification(config).eval(), spec, VOCABULARY)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardDataset:
    """Six recordings, one of them shorter than a segment of 3 s."""
    root = tmp_path_factory.mktemp("root")
    names = [f"record_{i:04}" for i in range(len(LENGTHS))]
    for number, (name, length) in enumerate(zip(names, LENGTHS, strict=True)):
        write_record(root / name, make_signal(1, length, seed=number), sample_rate_hz=100)
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
    assert applied.record_ids == expected.record_ids.tolist()
    np.testing.assert_allclose(applied.score, expected.score, atol=1e-6)
    assert applied.n_segments.tolist() == [2, 2, 1, 2, 2]
    assert applied.n_too_short == 1


def test_small_batches_give_the_same_and_embeddings_lead_to_the_scores(
    trained: TrainedModel, shards: ShardDataset
) -> None:
    (whole,) = apply_to_shards(trained, shards, device="cpu")
    parts = list(apply_to_shards(trained, shards, device="cpu", n_records=2))
    assert len(parts) == 3
    np.testing.assert_allclose(
        np.concatenate([part.embedding for part in parts]), whole.embedding, atol=1e-6
    )
    one = whole.n_segments == 1  # there aggregating changes nothing
    with torch.inference_mode():
        logits = trained.model.head(torch.from_numpy(whole.embedding[one]))
    np.testing.assert_allclose(whole.score[one], torch.sigmoid(logits).numpy(), atol=1e-6)


def test_files_hold_a_row_a_recording(
    trained: TrainedModel, shards: ShardDataset, tmp_path: Path
) -> None:
    (whole,) = apply_to_shards(trained, shards, device="cpu")
    paths = tmp_path / "embeddings.parquet", tmp_path / "scores.parquet"
    done: list[int] = []
    batches = apply_to_shards(trained, shards, device="cpu", n_records=4)
    assert write_applied(batches, VOCABULARY, *paths, progress=done.append) == (5, 1)
    assert done == [3, 5]
    embeddings, scores = (pq.read_table(path) for path in paths)
    assert embeddings["record_id"].to_pylist() == whole.record_ids
    vectors = np.stack(embeddings["embedding"].to_numpy())
    np.testing.assert_allclose(vectors, whole.embedding, atol=1e-6)
    assert scores.column_names == ["record_id", "shard", "n_segments", *VOCABULARY.names]
    np.testing.assert_allclose(scores["inverted"].to_numpy(), whole.score[:, 1], atol=1e-6)


def test_a_failing_run_leaves_no_file(trained: TrainedModel, tmp_path: Path) -> None:
    def batches() -> Iterator[AppliedModel]:
        yield from ()
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_applied(batches(), VOCABULARY, tmp_path / "a", tmp_path / "b")
    assert list(tmp_path.iterdir()) == []
