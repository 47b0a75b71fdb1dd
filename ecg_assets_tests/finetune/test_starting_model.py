"""Training from a pretrained checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ecg_assets.errors import CheckpointError, SpecMismatch
from ecg_assets.finetune import FinetuneRequest, Recipe, finetune
from ecg_assets.finetune.presets import PRESETS
from ecg_assets.finetune.starting_model import pretrained_model
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.labels import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.ecg_fm import EcgFmForClassification
from ecg_assets.models.ecg_fm_config import ecg_fm_config
from ecg_assets_tests.models.toy_recordings import SPEC, VOCABULARY, toy_manifest, toy_signals

FROZEN: Recipe = replace(PRESETS["tiny"], freeze_convolutions=True, epochs=2, batch_size=16)
CONVOLUTIONS = "encoder.feature_extractor."


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=2))
    path = tmp_path / "pretrained"
    path.mkdir()
    save_trained(path, model, SPEC, VOCABULARY)
    return path


def _start(folder: Path, recipe: Recipe = FROZEN, **changes: Any) -> EcgFmForClassification:
    values: dict[str, Any] = {"spec": SPEC, "vocabulary": VOCABULARY, **changes}
    fingerprint = fingerprint_file(folder / "model.safetensors")
    return pretrained_model(recipe, folder=folder, **{"fingerprint": fingerprint, **values})


def _pretrained(folder: Path) -> EcgFmForClassification:
    model = EcgFmForClassification.from_pretrained(folder)
    assert isinstance(model, EcgFmForClassification)
    return model


@torch.inference_mode()
def test_a_frozen_single_lead_is_folded_with_the_same_outputs(folder: Path) -> None:
    signal = torch.randn(2, 1, 300)
    model = _start(folder).eval()
    assert (model.config.n_channels, model.config.folded_from) == (1, 12)
    expected = _pretrained(folder).eval()(signal.expand(-1, 12, -1)).logits
    torch.testing.assert_close(model(signal).logits, expected, rtol=0, atol=1e-6)


def test_trainable_convolutions_keep_their_twelve_channels(folder: Path) -> None:
    model = _start(folder, replace(FROZEN, freeze_convolutions=False))
    assert model.config.n_channels == 12


def test_other_labels_get_a_new_head_on_the_same_encoder(folder: Path) -> None:
    three = LabelVocabulary(("a", "b", "c"), ("max",) * 3)
    model = _start(folder, replace(FROZEN, freeze_convolutions=False), vocabulary=three)
    assert model.head.weight.shape == (3, 64)
    expected = _pretrained(folder).encoder.state_dict()
    for name, value in model.encoder.state_dict().items():
        assert value.equal(expected[name]), name


def test_an_encoder_without_head_can_be_started_from(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    encoder = {name: value for name, value in weights.items() if not name.startswith("head.")}
    save_file(encoder, folder / "model.safetensors")
    (folder / "label_vocabulary.json").unlink()
    assert _start(folder).head.weight.shape == (2, 64)
    encoder.popitem()
    save_file(encoder, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="missing"):
        _start(folder)


def test_weights_that_changed_since_the_request_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="changed since the request was made"):
        _start(folder, fingerprint="0" * 64)


def test_a_pretrained_model_of_another_size_is_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="not of size 'base'"):
        _start(folder, replace(FROZEN, size="base"))


def test_a_pretrained_model_of_other_channels_is_refused(folder: Path) -> None:
    two_leads = replace(SPEC, leads=("I", "II"), n_channels=2)
    with pytest.raises(SpecMismatch, match="reads 12 channels, the manifest gives 2"):
        _start(folder, spec=two_leads)


def test_frozen_convolutions_stay_and_all_else_moves(folder: Path, tmp_path: Path) -> None:
    manifest = toy_manifest(20)
    data = TrainingData(manifest, toy_signals(manifest))
    request = FinetuneRequest.from_preset(
        "tiny",
        manifest_folder=tmp_path,
        shard_folder=tmp_path,
        cache_folder=tmp_path,
        output_folder=tmp_path / "out",
        inputs={"manifests": "toy"},
        pretrained=folder,
        device="cpu",
        freeze_convolutions=True,
        epochs=3,
    )
    trained = load_file(
        finetune(request, lambda _: None, open_data=lambda _: data) / "model.safetensors"
    )
    before = _start(folder).state_dict()
    same = {name for name, value in before.items() if value.equal(trained[name])}
    assert same == {name for name in before if name.startswith(CONVOLUTIONS)}
