"""What a training refuses before it costs time, when it ends, and what it says of itself."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ecg_assets.errors import CheckpointError, SchemaError, SettingsError
from ecg_assets.known import NOT_MEASURED
from ecg_assets.models.checkpoint_folder import RUN, WEIGHTS, read_json
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.run import list_checkpoints
from ecg_assets.training.finetune.finetune import finetune
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.finetune.validate import Validation, validate_logits
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request, write_toy_start
from ecg_assets_tests.training.killed_run import Killed

PLAIN = {"schedule": "constant", "warmup_fraction": 0.0}


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = toy_manifest(20)
    return TrainingData(manifest, toy_signals(manifest))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_start(tmp_path_factory.mktemp("pretrained"))


def _script_losses(patch: pytest.MonkeyPatch, *losses: float) -> None:
    remaining = iter(losses)

    def validate(*args: Any) -> Validation:
        return replace(validate_logits(*args), loss=next(remaining))

    patch.setattr("ecg_assets.training.finetune.finetune.validate_logits", validate)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_split_in_which_nobody_looked_for_any_label_is_refused(
    split: str, data: TrainingData, tmp_path: Path
) -> None:
    targets = data.manifest.targets.copy()
    targets[data.manifest.rows(split)] = NOT_MEASURED
    unknown = replace(data, manifest=replace(data.manifest, targets=targets))
    with pytest.raises(SchemaError, match=rf"Nobody looked .* of the {split} split: fast, inv"):
        run_toy(toy_request(tmp_path), unknown)


def test_a_test_split_in_which_nobody_looked_is_not_measured(data: TrainingData) -> None:
    targets, index = data.manifest.targets.copy(), data.manifest.index.copy()
    index.loc[:1, "split"] = "test"
    targets[:2] = NOT_MEASURED
    unknown = replace(data, manifest=replace(data.manifest, targets=targets, index=index))
    assert [name for name, _ in unknown.evaluated_rows(with_test=True)] == ["valid"]
    targets[0, 0] = 1
    assert [name for name, _ in unknown.evaluated_rows(with_test=True)] == ["valid", "test"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"precision": "fp16"}, "precision is 'fp16' on a CPU"),
        ({"tf32": True}, "only a GPU has TF32"),
        ({"report_to": "mlflow"}, "pip install mlflow"),
    ],
)
def test_what_this_machine_cannot_do_is_refused_before_signals_are_read(
    changes: dict[str, Any], fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)

    def no_data(request: FinetuneRequest) -> TrainingData:
        raise AssertionError("opened the data")

    with pytest.raises(SettingsError, match=fault):
        finetune(toy_request(tmp_path, **changes), lambda _: None, open_data=no_data)


def test_patience_does_not_end_a_training_before_its_encoder_had_a_chance(
    pretrained: Path, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends two epochs after the three of the head alone, and says that the head was best."""
    _script_losses(monkeypatch, 0.5, 0.6, 0.7, 0.8, 0.9, 0.1)
    request = toy_request(
        tmp_path, pretrained=pretrained, method="frozen-then-unfrozen", head_epochs=3, epochs=9,
        patience=2, **PLAIN,
    )  # fmt: skip
    folder, _ = run_toy(request, data)
    run = read_json(folder / RUN)
    assert (run["epochs_trained"], run["best_epoch"]) == (5, 1)
    before, after = load_file(pretrained / WEIGHTS), load_file(folder / WEIGHTS)
    changed = {name for name in after if not after[name].equal(before[name])}
    assert changed == {"head.weight", "head.bias"}
    n_head = sum(after[name].numel() for name in changed)
    assert run["n_trained_parameters"] == n_head
    assert run["trained_weights"]["encoder"]["n_parameters"] == 0
    (left,) = run["trained_weights"]["not_trained"]
    assert left["why"] == "trained after epoch 3 alone, and the best one is 1"
    assert "encoder 0 of" in (folder / "README.md").read_text("utf-8")
    assert request.identity["patient_from"] == 3
    unlike = request.changed(recipe=request.recipe.changed(patience=0))
    assert "patient_from" not in unlike.identity


def test_the_history_has_the_rate_of_the_head_whatever_the_layers_have(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    """Also where a plateau lowers it; what a resumed run says is what an undisturbed one says."""
    found = []
    for killed_in in (0, 2):
        request = toy_request(
            tmp_path / str(killed_in), pretrained=pretrained, layer_decay=0.5, epochs=2,
            schedule="plateau", warmup_fraction=0.0, learning_rate=0.004,
        )  # fmt: skip
        if killed_in:
            with pytest.raises(Killed):
                run_toy(request, data, killed_in_epoch=killed_in)
            (work,) = (path for path in request.output_folder.iterdir() if path.is_dir())
            _halve_rates(list_checkpoints(work)[-1].folder / "optimizer.pt")
        folder, _ = run_toy(request, data)
        rates = pd.read_csv(folder / "history.csv")["learning_rate"].tolist()
        assert rates[0] == 0.004
        found.append(read_json(folder / RUN)["trained_weights"])
    assert found[0] == found[1]
    assert found[0]["learning_rates"][0]["learning_rate"] == 0.004


def _halve_rates(path: Path) -> None:
    """As a plateau does."""
    state = torch.load(path)
    for group in state["param_groups"]:
        group["lr"] /= 2
    torch.save(state, path)


def test_a_lost_best_epoch_is_found_before_training_goes_on(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _script_losses(monkeypatch, 0.1, 0.5, 0.6)
    request = toy_request(tmp_path, **PLAIN)
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=3)
    (work,) = (path for path in tmp_path.iterdir() if path.is_dir())
    shutil.rmtree(list_checkpoints(work)[0].folder)
    with pytest.raises(CheckpointError, match="the best epoch, but has"):
        run_toy(request, data)


def test_validation_loss_and_auroc_are_those_of_a_plain_loop(
    data: TrainingData, tmp_path: Path
) -> None:
    """On the stored weights, of targets that are partly known, recording by recording."""
    from sklearn.metrics import roc_auc_score

    from ecg_assets.models.checkpoint import load_trained
    from ecg_assets.models.checkpoint_folder import read_validation_predictions

    manifest = toy_manifest(60)
    manifest.targets[::3, 1] = NOT_MEASURED
    measured = TrainingData(manifest, toy_signals(manifest))
    folder, _ = run_toy(toy_request(tmp_path, epochs=2), measured)
    model, run = load_trained(folder).model, json.loads((folder / RUN).read_text())
    losses: list[float] = []
    scores, rows = [], measured.rows("valid")
    for row in rows:
        samples = measured.signals.samples[row * 600 : (row + 1) * 600].reshape(2, 1, 300)
        signal = torch.from_numpy(samples.astype(np.float64))
        signal = (signal - signal.mean(-1, keepdim=True)) / signal.std(-1, False, keepdim=True)
        with torch.inference_mode():
            logit = model(signal.float()).logits.double()
        for label in range(2):
            target = manifest.targets[row, label]
            if target != NOT_MEASURED:
                weight = manifest.pos_weight[label] if target else 1.0
                sign = 1 if target else -1
                losses += (-weight * torch.log(torch.sigmoid(sign * logit[:, label]))).tolist()
        chance = torch.sigmoid(logit)
        scores.append([chance[:, 0].mean().item(), chance[:, 1].max().item()])
    assert run["valid_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    stored = read_validation_predictions(folder)
    np.testing.assert_allclose(stored.score, scores, rtol=0, atol=1e-4)
    known = [manifest.targets[rows, label] != NOT_MEASURED for label in range(2)]
    aurocs = [
        roc_auc_score(
            manifest.targets[rows, label][known[label]], stored.score[known[label], label]
        )
        for label in range(2)
    ]
    assert run["valid_macro_auroc"] == pytest.approx(np.mean(aurocs), rel=1e-9)
