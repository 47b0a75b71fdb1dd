"""A training on a share of the patients sees these alone, and says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import read_card
from ecg_assets.models.seen_patients import read_seen_patients
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.fairseq_signals.request import FairseqOptions
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.validate import reproduce_validation_loss
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request


def test_part_is_trained_on_recorded_and_validated_again(tmp_path: Path) -> None:
    manifest = toy_manifest(50)
    data = TrainingData(manifest, toy_signals(manifest))
    request = toy_request(tmp_path, epochs=1, train_fraction=0.25, seed=7)
    folder, events = run_toy(request, data)
    assert events[0]["n_train_records"] == 10
    assert events[0]["n_valid_records"] == 10
    card = read_card(folder)
    assert card.run["splits"]["train"]["n_patients"] == 10
    assert card.run["request"]["recipe"]["train_fraction"] == 0.25
    assert card.trained_on["train_fraction"] == 0.25
    part = request.take_part(manifest)
    train = part.index["subject_id"].iloc[part.rows("train")]
    left_out = part.index["subject_id"].iloc[part.rows("unused")]
    seen = read_seen_patients(folder)
    assert (seen.count(train, "toy"), seen.count(left_out, "toy")) == ([10], [0])
    loss = reproduce_validation_loss(load_trained(folder), manifest, data.signals, device="cpu")
    assert loss == pytest.approx(card.run["valid_loss"], rel=1e-5)


def test_whole_train_split_has_the_name_that_it_had(tmp_path: Path) -> None:
    plain = toy_request(tmp_path)
    assert toy_request(tmp_path, train_fraction=1.0).checkpoint_id == plain.checkpoint_id
    assert "train_fraction" not in plain.identity["recipe"]
    assert toy_request(tmp_path, train_fraction=0.1).checkpoint_id != plain.checkpoint_id


def test_fairseq_signals_refuses_it() -> None:
    recipe = PRESETS["ecg-fm-lead-i"].changed(train_fraction=0.1)
    with pytest.raises(SettingsError, match="train_fraction"):
        FairseqOptions.from_recipe(recipe, pos_weight=(1.0,), seed=1)
