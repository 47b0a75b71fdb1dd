"""ECGFounder by the same training as ECG-FM: methods, exclusive labels, resuming."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ecg_assets.errors import CheckpointError, SchemaError, SettingsError, SpecMismatch
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models import load_trained
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.checkpoint_folder import (
    CLASS_REPORTS,
    CONFUSION_MATRIX,
    VALIDATION_PREDICTIONS,
    WEIGHTS,
    read_validation_predictions,
)
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.ecg_founder.file import import_ecg_founder
from ecg_assets.models.ecg_founder.net1d import EcgFounder
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.scoring import predict_records
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.training import checkpoint_activations
from ecg_assets.training.fairseq_signals.request import FairseqOptions
from ecg_assets.training.finetune.finetune import FinetuneTraining
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.finetune.validate import exclusive_loss, reproduce_validation_loss
from ecg_assets_tests.models.golden_net1d import tiny_founder, write_founder
from ecg_assets_tests.models.toy_recordings import (
    SPEC,
    VOCABULARY,
    in_millivolts,
    toy_manifest,
    toy_signals,
)
from ecg_assets_tests.training.finetune.toy_run import run_toy
from ecg_assets_tests.training.killed_run import Killed

FILTERED = replace(SPEC, n_channels=1, filter="ecg-founder", normalization="z-score-all-leads")
HEAD = {"dense.weight", "dense.bias"}
METHODS: dict[str, dict[str, Any]] = {
    "full": {},
    "linear-probe": {},
    "frozen-then-unfrozen": {"head_epochs": 1},
}


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = replace(toy_manifest(40), spec=FILTERED)
    return TrainingData(manifest, in_millivolts(toy_signals(manifest), FILTERED))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a head for 150 statements, as published, imported for the toy signals."""
    folder = tmp_path_factory.mktemp("pretrained")
    path = write_founder(folder / "1_lead_ECGFounder.pth", tiny_founder(n_labels=150))
    return import_ecg_founder(path, folder / "imported", spec=FILTERED)


def _request(folder: Path, **changes: Any) -> FinetuneRequest:
    values: dict[str, Any] = {"epochs": 3, "batch_size": 16, "device": "cpu", **changes}
    return FinetuneRequest.from_preset(
        "ecg-founder-six-tiny",
        manifest_folder=folder,
        shard_folder=folder,
        cache_folder=folder,
        output_folder=folder,
        inputs={"manifests": "toy"},
        **{"objective": "multi-label", **values},
    )


@pytest.mark.parametrize("method", list(METHODS))
def test_a_method_changes_just_the_weights_it_trains(
    method: str, pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    request = _request(tmp_path, pretrained=pretrained, method=method, **METHODS[method])
    folder, _ = run_toy(request, data)
    old, new = load_file(pretrained / WEIGHTS), load_file(folder / WEIGHTS)
    assert set(old) == set(new)
    changed = {name for name in old if not old[name].equal(new[name])}
    # Batch norms are in the file and nowhere else.
    trained = {name for name in old if "bn" not in name}
    assert changed == (HEAD if method == "linear-probe" else trained)
    found = load_trained(folder)
    again = predict_records(found, data.manifest, data.signals, data.rows("valid"), device="cpu")
    np.testing.assert_allclose(
        read_validation_predictions(folder).score, again.score, rtol=0, atol=1e-6
    )
    run = json.loads((folder / "run.json").read_text())
    n_head = 2 * (found.model.config.hidden_size + 1)
    all_trained = sum(old[name].numel() for name in trained - HEAD) + n_head
    assert run["n_trained_parameters"] == (n_head if method == "linear-probe" else all_trained)
    assert "Harvard-Emory" in (folder / "README.md").read_text()


def test_a_killed_run_continues_to_the_same_weights_bit_for_bit(
    data: TrainingData, tmp_path: Path
) -> None:
    undisturbed, _ = run_toy(_request(tmp_path / "a", objective="exclusive"), data)
    request = _request(tmp_path / "b", objective="exclusive")
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=3)
    resumed, events = run_toy(request, data)
    assert events[0]["epochs_already_trained"] == 2
    assert (resumed / WEIGHTS).read_bytes() == (undisturbed / WEIGHTS).read_bytes()
    for name in (CLASS_REPORTS, CONFUSION_MATRIX, VALIDATION_PREDICTIONS):
        assert (resumed / name).read_bytes() == (undisturbed / name).read_bytes()
    assert list(json.loads((resumed / CLASS_REPORTS).read_text())) == ["1", "2", "3"]


def test_a_plateau_halves_the_learning_rate_also_after_a_kill(
    data: TrainingData, tmp_path: Path
) -> None:
    """So small a rate changes nothing: the first epoch stays the best."""
    changes: dict[str, Any] = {"schedule": "plateau", "warmup_fraction": 0.0, "epochs": 9}
    request = _request(tmp_path, learning_rate=1e-12, **changes)
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=9)
    folder, events = run_toy(request, data)
    assert events[0]["epochs_already_trained"] == 8
    rates = pd.read_csv(folder / "history.csv")["learning_rate"]
    assert rates.tolist() == pytest.approx([1e-12] * 7 + [5e-13] * 2)


def test_labels_that_exclude_one_another_are_learned(tmp_path: Path) -> None:
    """Fast or slow: of each recording just one, but of two, which are left out."""
    manifest = toy_manifest(200)
    fast = manifest.targets[:, :1]
    targets = np.concatenate([fast, 1 - fast], axis=1).astype(np.uint8)
    targets[:2] = [[0, 0], [1, 1]]
    names = LabelVocabulary(("fast", "slow"), ("mean", "mean"))
    signals = in_millivolts(toy_signals(manifest), FILTERED)
    exclusive = replace(manifest, targets=targets, vocabulary=names, spec=FILTERED)
    data = TrainingData(exclusive, signals)
    folder, events = run_toy(_request(tmp_path, objective="exclusive", epochs=4), data)
    assert events[0]["n_train_records"] == 158
    assert events[0]["n_valid_records"] == 40
    assert pd.read_csv(folder / "history.csv")["valid_macro_auroc"].iloc[-1] > 0.9
    trained = load_trained(folder)
    assert trained.model.config.problem_type == "single_label_classification"
    stored = read_validation_predictions(folder)
    np.testing.assert_allclose(stored.score.sum(axis=1), 1, rtol=0, atol=1e-6)
    run = json.loads((folder / "run.json").read_text())
    loss = reproduce_validation_loss(trained, exclusive, signals, device="cpu")
    assert loss == pytest.approx(run["valid_loss"], abs=1e-6)
    # Fine-tuned for labels of their own again, it forgets that they excluded one another.
    request = _request(tmp_path, pretrained=folder)
    assert FinetuneTraining(request, data).build_model().config.problem_type is None


def test_the_loss_of_exclusive_labels_is_torchs() -> None:
    logits = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    chosen = np.array([0, 2, 1, 1, 0, 2])
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).double(), torch.from_numpy(chosen)
    )
    found = exclusive_loss(logits, np.eye(3, dtype=np.uint8)[chosen])
    assert found == pytest.approx(expected.item(), rel=1e-12)


def test_data_without_a_recording_of_just_one_label_is_refused(
    data: TrainingData, tmp_path: Path
) -> None:
    both = replace(data.manifest, targets=np.ones_like(data.manifest.targets))
    with pytest.raises(SchemaError, match="no recording with just one of the labels"):
        run_toy(_request(tmp_path, objective="exclusive"), replace(data, manifest=both))


def test_the_presets_are_the_published_recipe_and_a_quick_one() -> None:
    recipe = PRESETS["ecg-founder-six"]
    assert (recipe.size, recipe.epochs, recipe.batch_size) == ("tiny", 50, 32)
    assert (recipe.learning_rate, recipe.weight_decay) == (1e-3, 1e-4)
    assert (recipe.max_gradient_norm, recipe.patience) == (1.0, 10)
    assert PRESETS["ecg-founder-six-tiny"].objective == recipe.objective == "exclusive"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "lora"}, "method is 'lora'.*ECGFounder"),
        ({"freeze_convolutions": True}, "freeze_convolutions is True.*False with ECGFounder"),
        ({"activation_dropout": 0.1}, "activation_dropout is 0.1"),
        ({"size": "large"}, "size is 'large'.*'tiny', 'base'"),
        ({"family": "resnet"}, "family is 'resnet'"),
        ({"objective": "ordinal"}, "objective is 'ordinal'"),
        ({"schedule": "plateau", "warmup_fraction": 0.1}, "0 with schedule 'plateau'"),
    ],
)
def test_what_the_family_cannot_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PRESETS["ecg-founder-six-tiny"].changed(**change)


def test_fairseq_signals_trains_no_net1d() -> None:
    weights = (1.0, 1.0)
    with pytest.raises(SettingsError, match="'family': 'ecg-founder'"):
        FairseqOptions.from_recipe(PRESETS["ecg-founder-six"], pos_weight=weights, seed=1)


def test_a_checkpoint_of_another_family_is_refused(data: TrainingData, tmp_path: Path) -> None:
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=1, n_labels=2))
    save_trained(tmp_path, model, SPEC, VOCABULARY)
    with pytest.raises(CheckpointError, match=r"is ECG-FM, the preset trains ECGFounder"):
        FinetuneTraining(_request(tmp_path / "out", pretrained=tmp_path), data).build_model()


def test_signals_of_another_kind_than_the_weights_know_are_refused(
    data: TrainingData, tmp_path: Path
) -> None:
    path = write_founder(tmp_path / "a.pth", tiny_founder(n_labels=150))
    request = _request(tmp_path, pretrained=import_ecg_founder(path, tmp_path / "folder"))
    of_another_kind = replace(data.manifest, spec=replace(SPEC, n_channels=1))
    with pytest.raises(SpecMismatch, match="ECG_SIGNAL_KIND=ecg-founder"):
        FinetuneTraining(request, replace(data, manifest=of_another_kind)).build_model()


def test_a_random_model_has_the_leads_and_labels_of_the_data(
    data: TrainingData, tmp_path: Path
) -> None:
    model = FinetuneTraining(_request(tmp_path), data).build_model()
    assert isinstance(model, EcgFounder)
    assert (model.config.n_channels, model.config.num_labels) == (1, 2)


def test_a_family_that_cannot_compute_activations_again_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family = replace(FAMILIES["ecg-founder"], can_recompute=False)
    monkeypatch.setitem(FAMILIES, family.name, family)
    with pytest.raises(SettingsError, match="ECGFounder cannot compute activations again"):
        checkpoint_activations(tiny_founder())


def test_recipes_are_read_back() -> None:
    for recipe in PRESETS.values():
        assert Recipe(**recipe.model_dump(mode="json")) == recipe
