"""Training from a pretrained checkpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ecg_assets.errors import CheckpointError, SpecMismatch
from ecg_assets.labels import LabelVocabulary
from ecg_assets.lineage import fingerprint_file
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.load import imported_folder
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.finetune.finetune import finetune
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.finetune.start import StartingPoint
from ecg_assets.training.finetune.starting_model import load_encoder, pretrained_model, random_model
from ecg_assets_tests.models.toy_recordings import SPEC, VOCABULARY, toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request
from ecg_assets_tests.training.killed_run import Killed

FROZEN: Recipe = PRESETS["tiny"].changed(freeze_convolutions=True, epochs=2, batch_size=16)
CONVOLUTIONS = "encoder.feature_extractor."


@pytest.fixture()
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(5)
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=2))
    path = tmp_path / "pretrained"
    path.mkdir()
    save_trained(path, model, SPEC, VOCABULARY)
    return path


def _start(folder: Path, recipe: Recipe = FROZEN, **changes: Any) -> EcgClassifier:
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
    model = _start(folder, FROZEN.changed(freeze_convolutions=False))
    assert model.config.n_channels == 12


def test_other_labels_get_a_new_head_on_the_same_encoder(folder: Path) -> None:
    three = LabelVocabulary(("a", "b", "c"), ("max",) * 3)
    model = _start(folder, FROZEN.changed(freeze_convolutions=False), vocabulary=three)
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


@pytest.mark.reference
def test_fairseq_signals_pretraining_can_be_started_from(
    reference_data: Path, tmp_path: Path
) -> None:
    """It has no head, four convolutions, and weights of pre-training in another file."""
    imported = imported_folder(
        reference_data / "fairseq_golden" / "pretrained_tiny.pt", tmp_path / "imports"
    )
    twelve = replace(SPEC, leads=STANDARD_LEADS, n_channels=12)
    model = _start(imported, spec=twelve)
    assert model.head.weight.shape == (2, 64)
    weights = load_file(imported / "model.safetensors")
    assert set(model.state_dict()) == {*weights, "head.weight", "head.bias"}
    assert all(model.state_dict()[name].equal(value) for name, value in weights.items())


@pytest.mark.reference
def test_fine_tuning_from_fairseq_signals_weights_resumes_to_the_same_weights(
    reference_data: Path, tmp_path: Path
) -> None:
    file = reference_data / "fairseq_golden" / "pretrained_tiny.pt"
    manifest = toy_manifest(40)
    data = TrainingData(manifest, toy_signals(manifest))
    weights = []
    for killed_in in (0, 2):
        folder = tmp_path / str(killed_in)
        pretrained = imported_folder(file, folder / "imports")
        request = toy_request(folder / "checkpoints", pretrained=pretrained, epochs=3)
        if killed_in:
            with pytest.raises(Killed):
                run_toy(request, data, killed_in_epoch=killed_in)
        result, events = run_toy(request, data)
        assert events[0]["epochs_already_trained"] == max(killed_in - 1, 0)
        weights.append((result / "model.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_weights_that_changed_since_the_request_are_refused(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="changed since the request was made"):
        _start(folder, fingerprint="0" * 64)


def test_a_pretrained_model_keeps_its_own_shape(tmp_path: Path) -> None:
    """The recipe's size is of random models; dropout is the recipe's, not pre-training's."""
    config = ecg_fm_config("tiny", n_channels=12, n_labels=2)
    config.update({"conv_dim": [32] * 4, "conv_kernel": [2] * 4, "conv_stride": [2] * 4})
    config.update({"num_feat_extract_layers": 4, "hidden_dropout": 0.5, "layerdrop": 0.3})
    save_trained(tmp_path, EcgFmForClassification(config), SPEC, VOCABULARY)
    (tmp_path / "pretraining_head.safetensors").write_bytes(b"not read")
    model = _start(tmp_path, FROZEN.changed(size="base", activation_dropout=0.25))
    assert len(model.encoder.feature_extractor.conv_layers) == 4
    assert model.config.hidden_size == 64
    assert (model.config.hidden_dropout, model.config.layerdrop) == (0.0, 0.0)
    assert model.encoder.encoder.layers[0].feed_forward.intermediate_dropout.p == 0.25


def test_a_model_of_another_kind_is_refused(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"ecg_fm"', '"wav2vec2"'))
    with pytest.raises(CheckpointError, match="is of model_type 'wav2vec2'"):
        _start(folder)


def test_a_pretrained_model_of_other_channels_is_refused(folder: Path) -> None:
    two_leads = replace(SPEC, leads=("I", "II"), n_channels=2)
    with pytest.raises(
        SpecMismatch, match=r"12 channels; ECG-FM(.|\n)*\(channels: 2\)(.|\n)*that give 12 channels"
    ):
        _start(folder, spec=two_leads)


RAW = replace(SPEC, normalization="none")
FILTERED = replace(SPEC, filter="ecg-founder", normalization="z-score-all-leads")


@pytest.mark.parametrize(
    ("preset", "data"),
    [
        ("tiny", RAW),
        ("tiny", FILTERED),
        ("tiny", replace(SPEC, sample_rate_hz=250)),
        ("ecg-lfm-tiny", SPEC),
        ("ecg-lfm-tiny", FILTERED),
        ("ecg-founder-six-tiny", SPEC),
        ("ecg-founder-six-tiny", RAW),
    ],
)
def test_random_weights_are_not_trained_on_signals_of_another_kind(
    preset: str, data: SignalSpec
) -> None:
    recipe = PRESETS[preset]
    random_model(recipe, FAMILIES[recipe.family].signal_spec(("I",)), VOCABULARY)
    with pytest.raises(SpecMismatch, match="random weights"):
        random_model(recipe, data, VOCABULARY)
    start = StartingPoint(recipe, data, None, seed=0)
    with pytest.raises(SpecMismatch, match="random weights"):
        load_encoder(start)


@pytest.mark.parametrize("data", [RAW, FILTERED, replace(SPEC, sample_rate_hz=250)])
@pytest.mark.parametrize("has_spec", [True, False])
def test_pretrained_weights_meet_no_signals_of_another_kind(
    has_spec: bool, data: SignalSpec, folder: Path
) -> None:
    if not has_spec:
        (folder / "signal_spec.json").unlink()
    _start(folder)
    with pytest.raises(SpecMismatch, match="ECG_SIGNAL_KIND=ecg-fm"):
        _start(folder, spec=data)


def test_pretrained_weights_read_what_their_own_spec_says(folder: Path) -> None:
    """Also where that is another kind than the family's, and segments of another length."""
    (folder / "signal_spec.json").write_text(json.dumps(RAW.to_json()))
    assert _start(folder, spec=replace(RAW, segment_s=RAW.record_s or 0.0)).config.n_channels == 1
    with pytest.raises(SpecMismatch, match="Build manifests with the checkpoint's spec"):
        _start(folder)


def test_a_folder_that_contradicts_itself_is_not_started_from(folder: Path) -> None:
    two = replace(SPEC, leads=("I", "II"), n_channels=2)
    (folder / "signal_spec.json").write_text(json.dumps(two.to_json()))
    with pytest.raises(CheckpointError, match="reads 12 channels, its signal spec gives 2"):
        _start(folder)
    (folder / "signal_spec.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not as this version writes it"):
        _start(folder)


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
