from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ecg_assets import models
from ecg_assets.errors import CheckpointError
from ecg_assets.lineage import fingerprint_file, fingerprint_json
from ecg_assets.models.checkpoint import load_trained, save_trained
from ecg_assets.models.checkpoint_folder import (
    MODEL_FILES,
    checkpoint_content_sha256,
    read_card,
    read_validation_predictions,
)
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.fold import fold_lead_one
from ecg_assets_tests.models.toy_recordings import SPEC, VOCABULARY


@pytest.fixture()
def model() -> EcgFmForClassification:
    torch.manual_seed(0)
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=2))
    model.eval()
    return model


@pytest.fixture()
def folder(model: EcgFmForClassification, tmp_path: Path) -> Path:
    save_trained(tmp_path, fold_lead_one(model), SPEC, VOCABULARY)
    return tmp_path


def _edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", models.__all__)
def test_every_public_name_of_the_room_can_be_imported(name: str) -> None:
    assert getattr(models, name).__name__ == name


@torch.inference_mode()
def test_a_loaded_checkpoint_gives_the_same_logits(
    folder: Path, model: EcgFmForClassification
) -> None:
    signal = torch.randn(2, 1, 300)
    loaded = load_trained(folder)
    torch.testing.assert_close(loaded.model(signal).logits, model(signal).logits, rtol=0, atol=0)
    assert (loaded.spec, loaded.vocabulary) == (SPEC, VOCABULARY)
    assert loaded.model.config.folded_from == 12
    assert list(loaded.model.config.id2label.values()) == list(VOCABULARY.names)


def test_the_card_tells_spec_and_labels_and_the_weights_fingerprint(folder: Path) -> None:
    card = read_card(folder)
    assert (card.spec, card.vocabulary, card.run) == (SPEC, VOCABULARY, {})
    before = card.weights_sha256
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert card.weights_sha256 != before


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "signal_spec.json", "label_vocabulary.json"]
)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        load_trained(folder)


def test_a_missing_folder_and_missing_scores_are_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="No checkpoint folder"):
        load_trained(folder / "nowhere")
    with pytest.raises(CheckpointError, match=r"lacks validation_predictions\.parquet"):
        read_validation_predictions(folder)


def test_a_head_of_other_width_than_the_vocabulary_is_refused(folder: Path) -> None:
    _edit_json(folder / "label_vocabulary.json", names=["a", "b", "c"], aggregation=["max"] * 3)
    with pytest.raises(CheckpointError, match="2 outputs, its vocabulary 3 labels"):
        load_trained(folder)


def test_channels_that_the_spec_does_not_give_are_refused(folder: Path) -> None:
    _edit_json(folder / "signal_spec.json", leads=["I", "II"], n_channels=2)
    with pytest.raises(CheckpointError, match="reads 1 channels, its signal spec gives 2"):
        load_trained(folder)


def test_another_kind_of_model_is_refused(folder: Path) -> None:
    _edit_json(folder / "config.json", model_type="wav2vec2")
    with pytest.raises(CheckpointError, match="model_type 'wav2vec2'"):
        load_trained(folder)


def test_half_a_weight_file_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match=r"cannot read model\.safetensors"):
        load_trained(folder)


def test_a_missing_weight_is_refused_and_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["head.bias"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"head\.bias"):
        load_trained(folder)


def test_unreadable_json_is_named(folder: Path) -> None:
    (folder / "signal_spec.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"cannot read signal_spec\.json"):
        read_card(folder)
    (folder / "signal_spec.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not as this version writes it"):
        read_card(folder)


def test_a_model_is_not_saved_with_labels_it_does_not_have(
    model: EcgFmForClassification, tmp_path: Path
) -> None:
    model.config.n_channels = 7
    with pytest.raises(CheckpointError, match="7 channels"):
        save_trained(tmp_path, model, SPEC, VOCABULARY)
    assert list(tmp_path.iterdir()) == []


# What counts as a checkpoint's content.

_MEASURED = {"circumstances": ["seconds", "hardware"], "seconds": 3.5, "hardware": {"n_cpus": 2}}


def _content(folder: Path, run: dict[str, Any]) -> str:
    (folder / "run.json").write_text(json.dumps({"valid_loss": 0.5, **run}))
    return checkpoint_content_sha256(folder)


def test_the_same_weights_trained_twice_are_one_content(folder: Path) -> None:
    once = _content(folder, _MEASURED)
    assert _content(folder, {**_MEASURED, "seconds": 4.5, "hardware": {"n_cpus": 64}}) == once
    assert _content(folder, {**_MEASURED, "valid_loss": 0.6}) != once
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"] += 1
    save_file(weights, folder / "model.safetensors")
    assert _content(folder, _MEASURED) != once


def test_a_run_of_an_earlier_version_counts_as_it_always_did(folder: Path) -> None:
    """Else each stored checkpoint would be evaluated again."""
    run = {"valid_loss": 0.5, "seconds": 3.5}
    found = _content(folder, run)
    names = (*MODEL_FILES, "run.json")
    assert found == fingerprint_json({name: fingerprint_file(folder / name) for name in names})
    assert _content(folder, {**run, "seconds": 4.5}) != found


@pytest.mark.parametrize("named", [["valid_loss"], "seconds", [["seconds"]], [3], None])
def test_only_circumstances_can_be_left_out(folder: Path, named: object) -> None:
    run = {"circumstances": named, "seconds": 3.5}
    assert _content(folder, run) != _content(folder, {**run, "valid_loss": 0.6})
