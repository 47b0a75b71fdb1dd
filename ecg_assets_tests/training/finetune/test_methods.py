"""What each way of fine-tuning trains, and that a killed run continues to the same weights."""

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
from peft import PeftModel
from safetensors.torch import load_file

from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.checkpoint_folder import WEIGHTS, read_validation_predictions
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.scoring import predict_records
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.segments import SegmentDataset
from ecg_assets.training.engine.training import checkpoint_activations
from ecg_assets.training.finetune.finetune import FinetuneTraining
from ecg_assets.training.finetune.methods import (
    FeatureDataset,
    HeadOnFeatures,
    find_features,
    trained_module,
)
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request, write_toy_start
from ecg_assets_tests.training.killed_run import Killed

METHODS: dict[str, dict[str, Any]] = {
    "linear-probe": {},
    "attention-probe": {"attention_pool_heads": 4},
    "lora": {"lora_rank": 2, "lora_dropout": 0.1},
    "frozen-then-unfrozen": {"head_epochs": 2},
}


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = toy_manifest(40)
    return TrainingData(manifest, toy_signals(manifest))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_start(tmp_path_factory.mktemp("pretrained"))


def _request(folder: Path, pretrained: Path, method: str, **changes: Any) -> FinetuneRequest:
    values = {"pretrained": pretrained, "method": method, **METHODS[method], **changes}
    return toy_request(folder, **values)


@pytest.fixture(scope="module", params=list(METHODS))
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def finished(
    method: str, pretrained: Path, data: TrainingData, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder, _ = run_toy(_request(tmp_path_factory.mktemp(method), pretrained, method), data)
    return folder


def _changed(before: Path, after: Path) -> set[str]:
    old, new = load_file(before / WEIGHTS), load_file(after / WEIGHTS)
    assert set(old) <= set(new)
    return {name for name in new if name not in old or not old[name].equal(new[name])}


def test_a_method_changes_just_the_weights_it_trains(
    method: str, finished: Path, pretrained: Path
) -> None:
    changed = _changed(pretrained, finished)
    head = {"head.weight", "head.bias"}
    linear = {
        f"encoder.encoder.layers.{layer}.{name}.weight"
        for layer in (0, 1)
        for name in (
            *(f"attention.{part}_proj" for part in ("q", "k", "v", "out")),
            *(f"feed_forward.{part}_dense" for part in ("intermediate", "output")),
        )
    }
    expected = {
        "linear-probe": head,
        "attention-probe": head
        | {f"attention_pool.{name}" for name in ("query", "q_proj", "k_proj", "v_proj")},
        "lora": head | linear,
        "frozen-then-unfrozen": set(load_file(pretrained / WEIGHTS)),
    }
    assert changed == expected[method]


def test_a_finished_checkpoint_gives_the_validation_scores_stored_with_it(
    finished: Path, data: TrainingData
) -> None:
    trained = load_trained(finished)
    again = predict_records(trained, data.manifest, data.signals, data.rows("valid"), device="cpu")
    stored = read_validation_predictions(finished)
    np.testing.assert_allclose(stored.score, again.score, rtol=0, atol=1e-6)


def test_a_killed_run_continues_to_the_same_weights_bit_for_bit(
    method: str, finished: Path, pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    """Whether it is killed before the encoder is trained (head_epochs = 2) or after."""
    for killed_in in (2, 4):
        request = _request(tmp_path / str(killed_in), pretrained, method)
        with pytest.raises(Killed):
            run_toy(request, data, killed_in_epoch=killed_in)
        folder, events = run_toy(request, data)
        assert events[0]["epochs_already_trained"] == killed_in - 1
        assert (folder / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()


def test_the_encoder_stays_for_the_heads_epochs(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    request = _request(tmp_path, pretrained, "frozen-then-unfrozen", warmup_fraction=0.0)
    with pytest.raises(Killed):
        run_toy(request, data, killed_in_epoch=4)
    (work,) = (path for path in tmp_path.iterdir() if path.is_dir())
    by_step = sorted(work.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    second, third = by_step[-2:]
    assert _changed(pretrained, second) == {"head.weight", "head.bias"}
    assert len(_changed(second, third)) == len(load_file(pretrained / WEIGHTS))


def test_a_linear_probe_trains_on_features_of_the_encoder_without_dropout(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    request = _request(tmp_path, pretrained, "linear-probe")
    model = FinetuneTraining(request, data).build_model().train()
    rows, of_rows = np.array([5, 0, 9]), np.array([0, 2, 5, 9, 11])
    segments = SegmentDataset(data, rows, 1)
    found_features = find_features(
        model,
        data,
        of_rows,
        lambda: SegmentDataset(data, of_rows, 1),
        request=request,
        device=torch.device("cpu"),
    )
    features = FeatureDataset(data, rows, found_features, of_rows)
    order = [4, 0, 3]
    found = HeadOnFeatures(model)(**features.__getitems__(order))
    expected = model.eval()(**segments.__getitems__(order))
    assert len(features) == len(segments) == 6
    torch.testing.assert_close(found.logits, expected.logits, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.loss, expected.loss, rtol=0, atol=1e-6)
    found.loss.backward()
    trained = [name for name, p in model.named_parameters() if p.grad is not None]
    assert trained == ["head.weight", "head.bias"]


def test_an_attention_probe_trains_on_tokens_of_the_encoder_without_dropout(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    request = _request(tmp_path, pretrained, "attention-probe", activation_dropout=0.5)
    model = FinetuneTraining(request, data).build_model()
    trained = trained_module(model, request.recipe).train()
    batch = SegmentDataset(data, np.array([5, 0]), 1).__getitems__([0, 2])
    found, expected = trained(**batch), model.eval()(**batch)
    assert found.logits.equal(expected.logits) and found.loss.equal(expected.loss)
    found.loss.backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == model.head_parameters()
    assert model.config.attention_pool_heads == 4


def test_an_attention_pool_is_no_start_of_another_head(
    data: TrainingData, pretrained: Path, tmp_path: Path
) -> None:
    """Its encoder is one: the head that reads a mean starts anew, one of the same pool is kept."""
    first, _ = run_toy(_request(tmp_path, pretrained, "attention-probe", epochs=1), data)
    old = load_file(first / WEIGHTS)
    for method, keeps in (("attention-probe", True), ("linear-probe", False)):
        request = _request(tmp_path, first, method)
        model = FinetuneTraining(request, data).build_model()
        state = model.state_dict()
        assert (model.attention_pool is not None) == keeps
        assert state["head.weight"].equal(old["head.weight"]) == keeps
        assert all(state[n].equal(old[n]) for n in old if n.startswith("encoder."))
    other = _request(tmp_path, first, "attention-probe", attention_pool_heads=8)
    head = FinetuneTraining(other, data).build_model().state_dict()["head.weight"]
    assert not head.equal(old["head.weight"])


@pytest.mark.parametrize("method", ["linear-probe", "attention-probe"])
def test_a_random_encoder_stays_random_and_says_so(
    method: str, data: TrainingData, tmp_path: Path
) -> None:
    values = {"method": method, **METHODS[method], "random_encoder": True, "epochs": 2}
    request = toy_request(tmp_path, **values)
    start = FinetuneTraining(request, data).build_model().state_dict()
    folder, _ = run_toy(request, data)
    assert folder.name == f"tiny-random-encoder-{request.request_id[:12]}"
    found = load_file(folder / WEIGHTS)
    changed = {name for name in found if not found[name].equal(start[name])}
    assert changed == load_trained(folder).model.head_parameters()
    run = json.loads((folder / "run.json").read_text())
    assert run["trained_weights"]["encoder"]["n_parameters"] == 0
    assert run["request"]["recipe"]["random_encoder"] is True
    assert "a **random encoder** under a probe" in (folder / "README.md").read_text("utf-8")


def test_a_random_encoder_is_asked_for_and_never_beside_another(
    pretrained: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="say random_encoder=True where a probe of random"):
        toy_request(tmp_path, method="linear-probe")
    with pytest.raises(ValueError, match="random_encoder is True, but pretrained is"):
        _request(tmp_path, pretrained, "linear-probe", random_encoder=True)
    with pytest.raises(ValueError, match=r"method is 'full'; it must be one of .* random_encoder"):
        toy_request(tmp_path, random_encoder=True)
    assert not PRESETS["ecg-fm-random-probe"].needs_pretrained
    assert "random_encoder" not in PRESETS["tiny"].model_dump(mode="json")


def test_features_are_computed_once_for_all_probes_of_an_encoder(
    pretrained: Path, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other rates and other folds of the same recordings find them; another encoder does not."""
    stored = replace(data, signals=replace(data.signals, folder=tmp_path / "signals"))
    split = stored.manifest.index["split"].to_numpy()
    other_fold = replace(
        stored.manifest, index=stored.manifest.index.assign(split=np.roll(split, 1))
    )
    passes: list[int] = []
    embed = EcgFmForClassification.embed

    def count(
        self: EcgFmForClassification, signals: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        passes.append(len(signals))
        return embed(self, signals)

    monkeypatch.setattr(EcgFmForClassification, "embed", count)
    probe = _request(tmp_path / "plain", pretrained, "linear-probe", epochs=1)
    once = probe.changed(output_folder=tmp_path / "stored")
    first, _ = run_toy(once, stored)
    n_first = sum(passes)
    passes.clear()
    run_toy(once.changed(recipe=once.recipe.changed(learning_rate=0.01)), stored)
    again = once.changed(recipe=once.recipe.changed(learning_rate=0.02))
    run_toy(again, replace(stored, manifest=other_fold))
    assert n_first > 80
    assert sum(passes) == 2 * (n_first - 80)  # the validation scores of the result alone
    plain, _ = run_toy(probe, data)
    assert (first / WEIGHTS).read_bytes() == (plain / WEIGHTS).read_bytes()


def test_peft_reads_the_adapters_that_stand_beside_the_merged_weights(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    folder, _ = run_toy(_request(tmp_path, pretrained, "lora", epochs=1), data)
    start = EcgFmForClassification.from_pretrained(pretrained)
    adapted = PeftModel.from_pretrained(start, str(folder / "adapter")).eval()
    signal = torch.randn(3, 1, 300)
    with torch.inference_mode():
        found, expected = adapted(signal).logits, load_trained(folder).model(signal).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    run = json.loads((folder / "run.json").read_text())
    adapters = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert run["n_trained_parameters"] == sum(value.numel() for value in adapters.values())


def test_without_peft_lora_says_what_to_install(
    pretrained: Path, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(SettingsError, match=r"pip install 'ecg-assets\[lora\]'"):
        FinetuneTraining(_request(tmp_path, pretrained, "lora"), data).build_model()


def test_activations_are_computed_again_in_the_backward_pass(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    model = FinetuneTraining(_request(tmp_path, pretrained, "lora"), data).build_model().train()
    calls = []
    layer = model.encoder.encoder.layers[1].feed_forward
    layer.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    checkpoint_activations(model)
    model(torch.randn(2, 1, 300)).logits.sum().backward()
    assert len(calls) == 2


def test_recomputed_activations_train_the_same_model(
    pretrained: Path, data: TrainingData, tmp_path: Path
) -> None:
    weights = []
    for recomputes in (False, True):
        request = _request(
            tmp_path / str(recomputes),
            pretrained,
            "lora",
            epochs=1,
            gradient_checkpointing=recomputes,
        )
        folder, _ = run_toy(request, data)
        weights.append((folder / WEIGHTS).read_bytes())
    assert weights[0] == weights[1]


def test_the_test_split_is_reported_and_decides_nothing(tmp_path: Path) -> None:
    """Test labels turned round: the same weights and validation, another test curve."""
    histories, weights = [], []
    for name in ("right", "wrong", "unmeasured"):
        manifest = toy_manifest(60)
        manifest.index.loc[manifest.index.index % 5 == 3, "split"] = "test"
        data = TrainingData(manifest, toy_signals(manifest))
        if name == "wrong":
            manifest.targets[data.rows("test")] = 1 - manifest.targets[data.rows("test")]
        request = toy_request(tmp_path / name, reports_test=name != "unmeasured", patience=2)
        folder, _ = run_toy(request, data)
        frame = pd.read_csv(folder / "history.csv")
        histories.append(frame.drop(columns="seconds"))
        weights.append((folder / WEIGHTS).read_bytes())
        run = json.loads((folder / "run.json").read_text())
        best = histories[-1].iloc[int(histories[-1]["valid_loss"].argmin())]
        assert run["best_epoch"] == best["epoch"]
        assert ("test" in run["splits"]) == (name != "unmeasured")
        if name != "unmeasured":
            assert run["test_loss"] == best["test_loss"]
        shutil.rmtree(folder)
    assert weights[0] == weights[1] == weights[2]
    right, wrong, unmeasured = histories
    decisive = ["epoch", "train_loss", "valid_loss", "valid_macro_auroc"]
    pd.testing.assert_frame_equal(right[decisive], wrong[decisive], check_exact=True)
    assert (right["test_loss"] != wrong["test_loss"]).all()
    assert right["test_macro_auroc"].to_numpy() == pytest.approx(1 - wrong["test_macro_auroc"])
    assert unmeasured["test_loss"].isna().all()
