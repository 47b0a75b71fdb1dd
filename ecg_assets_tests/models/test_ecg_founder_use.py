"""What is done with any checkpoint, done with ECGFounder's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb

from ecg_assets.build import SignalCache
from ecg_assets.errors import SettingsError
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models.apply import apply_to_shards
from ecg_assets.models.checkpoint import TrainedModel
from ecg_assets.models.probabilities import EXCLUSIVE
from ecg_assets.models.saliency import explain_recordings, saliency
from ecg_assets.models.scoring import predict_recording, predict_records, to_predictions
from ecg_assets.preprocess import (
    ShardDataset,
    preprocess_shard,
    signal_spec_of_kind,
    write_shard,
)
from ecg_assets.preprocess.filters import apply_filters
from ecg_assets.preprocess.signal_steps import NAMED_FILTERS
from ecg_assets_tests.models.golden_net1d import tiny_founder
from ecg_assets_tests.models.toy_recordings import VOCABULARY, toy_manifest
from ecg_assets_tests.preprocess.recordings import make_signal, record_list, write_record

SPEC = signal_spec_of_kind("ecg-founder")
LABELS = LabelVocabulary(("a", "b", "c"), ("mean", "mean", "mean"))


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    return TrainedModel(tiny_founder(), SPEC, VOCABULARY)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> ShardDataset:
    root = tmp_path_factory.mktemp("root")
    names = [f"record_{i:04}" for i in range(3)]
    for number, name in enumerate(names):
        write_record(root / name, make_signal(1, 5000, seed=number), sample_rate_hz=500)
    path = root / "p1000.parquet"
    write_shard(preprocess_shard(record_list(names), root, ["I"]), path, root / "rejects")
    return ShardDataset({"p1000": path})


def test_shards_and_manifests_give_the_same_scores(
    trained: TrainedModel, shards: ShardDataset, tmp_path: Path
) -> None:
    (applied,) = apply_to_shards(trained, shards, device="cpu")
    manifest = replace(toy_manifest(3), spec=SPEC)
    cache = SignalCache.open(manifest.index, shards["p1000"].parent, SPEC, tmp_path)
    rows = np.arange(3)
    expected = predict_records(trained, manifest, cache, rows, device="cpu")
    np.testing.assert_allclose(applied.score, expected.score, rtol=0, atol=1e-5)
    assert applied.embedding.shape == (3, trained.model.config.hidden_size)
    assert applied.n_segments.tolist() == [1, 1, 1]
    assert np.ptp(expected.score) > 0.01


def test_a_recording_is_filtered_before_it_is_scored(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).standard_normal((5000, 1)).cumsum(axis=0) / 50
    wfdb.wrsamp(
        "r1", fs=500, units=["mV"], sig_name=["I"], p_signal=signal, fmt=["16"],
        adc_gain=[200.0], baseline=[0], write_dir=str(tmp_path),
    )  # fmt: skip
    trained = TrainedModel(tiny_founder(n_labels=3), SPEC, LABELS)
    found = predict_recording(trained, tmp_path / "r1")
    # Independently: wfdb reads, numpy normalizes.
    filtered = apply_filters(
        wfdb.rdrecord(str(tmp_path / "r1")).p_signal.T, 500, NAMED_FILTERS["ecg-founder"]
    )
    scaled = ((filtered - filtered.mean()) / filtered.std()).astype(np.float32)
    with torch.inference_mode():
        expected = torch.sigmoid(trained.model(torch.from_numpy(scaled[None])).logits)[0]
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-5)


def test_labels_that_exclude_one_another_add_up_to_one(
    shards: ShardDataset, tmp_path: Path
) -> None:
    model = tiny_founder()
    model.config.problem_type = EXCLUSIVE
    trained = TrainedModel(model, SPEC, replace(VOCABULARY, aggregation=("mean", "mean")))
    (applied,) = apply_to_shards(trained, shards, device="cpu")
    np.testing.assert_allclose(applied.score.sum(axis=1), 1, rtol=0, atol=1e-6)
    manifest = replace(toy_manifest(3), spec=SPEC, vocabulary=trained.vocabulary)
    cache = SignalCache.open(manifest.index, shards["p1000"].parent, SPEC, tmp_path)
    found = predict_records(trained, manifest, cache, np.arange(3), device="cpu")
    np.testing.assert_allclose(found.score, applied.score, rtol=0, atol=1e-5)
    # A choice of labels is made of probabilities: the softmax is over all of them.
    logits = np.log(np.array([[1.0, 2.0, 1.0]], np.float32))
    chosen = to_predictions(manifest, cache, np.array([0]), logits, exclusive=True, columns=[1, 0])
    assert chosen.score[0].tolist() == pytest.approx([0.5, 0.25])


def test_gradients_add_up_to_the_difference_from_zeros() -> None:
    model = tiny_founder(n_channels=3)
    signal = np.random.default_rng(0).standard_normal((3, 641)).astype(np.float32)
    weights = saliency(model, signal, 1)
    with torch.inference_mode():
        inputs = torch.from_numpy(signal)[None]
        difference = model(inputs).logits - model(torch.zeros_like(inputs)).logits
    assert weights.shape == (641,)
    assert weights.sum() == pytest.approx(float(difference[0, 1]), rel=0.02)


def test_stored_recordings_are_explained_but_not_by_attention(
    trained: TrainedModel, shards: ShardDataset
) -> None:
    signals = shards.read_records(["record_0001"], SPEC.leads)
    (weights,) = explain_recordings(trained, signals, 0, "integrated-gradients")
    assert weights.shape == (5000,)
    with pytest.raises(SettingsError, match=r"ECGFounder has no attention.*integrated-gradients"):
        explain_recordings(trained, signals, 0, "attention")
