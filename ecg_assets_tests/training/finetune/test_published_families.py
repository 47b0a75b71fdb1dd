"""Families of published encoders by the same training as the others: each changes what it says."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from ecg_assets.build import SignalCache
from ecg_assets.models.checkpoint import load_trained, save_model
from ecg_assets.models.checkpoint_folder import WEIGHTS, read_validation_predictions
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.scoring import predict_records
from ecg_assets.preprocess import SignalSpec, standardize
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.presets import tiny_presets
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.toy_recordings import (
    PER_MV,
    RATE,
    VOCABULARY,
    toy_manifest,
    toy_signals,
)
from ecg_assets_tests.training.finetune.toy_run import run_toy

TRAINED = ("clef", "d-beta", "deepecg-ssl", "melp-encoder")


def _spec(family: str) -> SignalSpec:
    """The family's signals of Lead I, short ones."""
    spec = FAMILIES[family].signal_spec(("I",))
    return replace(spec, record_s=2.4, segment_s=1.2, n_channels=1)


def _data(family: str, n_records: int = 40) -> TrainingData:
    spec = _spec(family)
    manifest = replace(toy_manifest(n_records), spec=spec)
    signals = toy_signals(manifest, n_samples=1200)
    made_for = spec
    if not spec.holds_segments:
        made_for = replace(spec, segment_s=spec.record_s or 0.0)
    block = signals.samples.reshape(len(signals), 1, -1)
    gain, baseline = np.full(block.shape[:2], float(PER_MV)), np.zeros(block.shape[:2])
    made = standardize(block, RATE, made_for, gain, baseline)
    offsets = np.arange(len(signals) + 1, dtype=np.int64) * made.shape[-1]
    rates = np.full(len(signals), float(spec.sample_rate_hz))
    cache = SignalCache(Path(), ("I",), made.ravel(), offsets, rates, made_for=made_for)
    return TrainingData(manifest, cache)


def _request(family: str, folder: Path, **changes: object) -> FinetuneRequest:
    values = {"epochs": 2, "batch_size": 16, "device": "cpu", **changes}
    return FinetuneRequest.from_preset(
        tiny_presets()[family],
        manifest_folder=folder,
        shard_folder=folder,
        cache_folder=folder,
        output_folder=folder,
        inputs={"manifests": "toy"},
        **values,
    )


def _pretrained(family: str, folder: Path) -> Path:
    """Write an encoder without a head, as an import of a published file does."""
    torch.manual_seed(0)
    config = FAMILIES[family].build_config("tiny", n_channels=1, n_labels=2)
    encoder_class = FAMILIES[family].encoder_class
    assert encoder_class is not None
    folder.mkdir()
    save_model(folder, encoder_class(config), _spec(family), None)
    return folder


@pytest.mark.parametrize("family", TRAINED)
def test_a_tiny_model_learns_toy_recordings_from_nothing(family: str, tmp_path: Path) -> None:
    data = _data(family, 80)
    folder, _ = run_toy(_request(family, tmp_path, epochs=8), data)
    found = load_trained(folder)
    assert found.vocabulary == VOCABULARY
    again = predict_records(found, data.manifest, data.signals, data.rows("valid"), device="cpu")
    stored = read_validation_predictions(folder)
    np.testing.assert_allclose(stored.score, again.score, rtol=0, atol=1e-6)
    # In segments of 1.2 s not every family tells the rhythm in eight epochs.
    is_inverted = VOCABULARY.names.index("inverted")
    assert roc_auc_score(stored.target[:, is_inverted], stored.score[:, is_inverted]) > 0.95


@pytest.mark.parametrize("method", ["full", "linear-probe", "lora"])
@pytest.mark.parametrize("family", TRAINED)
def test_a_method_changes_just_what_it_trains(family: str, method: str, tmp_path: Path) -> None:
    one = FAMILIES[family]
    if method == "lora" and not one.adapted_layers:
        pytest.skip(f"{one.title} has no adapters")
    pretrained = _pretrained(family, tmp_path / "encoder")
    request = _request(family, tmp_path / "trained", pretrained=pretrained, method=method)
    folder, _ = run_toy(request, _data(family))
    old, new = load_file(pretrained / WEIGHTS), load_file(folder / WEIGHTS)
    head = f"{one.classifier_class.head_name}."
    assert set(new) == set(old) | {f"{head}weight", f"{head}bias"}
    changed = {name for name in old if not old[name].equal(new[name])}
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    never = {
        name
        for name in old
        if name.endswith(buffers) or any(fnmatchcase(name, p) for p in one.never_trained)
    }
    adapted = {
        name
        for name in old
        if any(name.endswith(f"{end}.weight") for end in one.adapted_layers) and ".layers." in name
    }
    expected = {"full": set(old) - never, "linear-probe": set(), "lora": adapted}[method]
    assert changed == expected
