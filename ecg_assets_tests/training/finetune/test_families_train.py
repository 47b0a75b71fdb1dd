"""Every family with signals of its own kind: each method trains just what it says."""

from __future__ import annotations

import copy
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from ecg_assets.build import SignalCache
from ecg_assets.models.checkpoint import load_trained, save_trained
from ecg_assets.models.checkpoint_folder import WEIGHTS, read_validation_predictions
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.scoring import predict_records
from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets.preprocess.model_input import prepare
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.training import checkpoint_activations
from ecg_assets.training.finetune.presets import tiny_presets
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.models.golden_published import without_dropout
from ecg_assets_tests.models.toy_recordings import RATE, VOCABULARY, toy_manifest
from ecg_assets_tests.training.finetune.toy_run import run_toy

OTHER_METHODS = {
    # Of each kind of encoder one; batch norms of a frozen one must not move.
    "linear-probe": {"ecg-cpc", "hubert-ecg", "merl-resnet18", "xresnet1d101"},
    "lora": {"hubert-ecg", "st-mem"},
}
OF_THEIR_OWN = sorted(name for name, family in FAMILIES.items() if family.signal)
METHODS = ("full", "linear-probe", "lora")


@cache
def _data(family: str) -> TrainingData:
    """Recordings of 10 s of all leads, prepared as the family reads them."""
    spec = FAMILIES[family].signal_spec(STANDARD_LEADS)
    manifest = replace(toy_manifest(20), spec=spec)
    random = np.random.default_rng(1)
    time = np.arange(10 * RATE) / RATE
    records = []
    for fast, inverted in manifest.targets:
        spikes = np.cos(np.pi * ((2.5 if fast else 1.0) * time + random.uniform())) ** 40
        of_lead = random.uniform(0.5, 1, (len(spec.leads), 1)) * (-1 if inverted else 1)
        records.append(of_lead * spikes + 0.1 * random.standard_normal(of_lead.shape))
    made = prepare(np.stack(records), RATE, spec)
    whole: dict[str, Any] = {"segment_s": spec.record_s, "n_channels": len(spec.leads)}
    made_for = replace(spec, **({} if spec.holds_segments else whole), aggregation="by-label")
    offsets = np.arange(len(records) + 1, dtype=np.int64) * made[0].size
    rates = np.full(len(records), float(RATE))
    signals = SignalCache(Path(), spec.leads, made.ravel(), offsets, rates, made_for)
    return TrainingData(manifest, signals)


def _request(family: str, folder: Path, **changes: Any) -> FinetuneRequest:
    values = {"epochs": 1, "batch_size": 8, "device": "cpu", "warmup_fraction": 0.0, **changes}
    return FinetuneRequest.from_preset(
        tiny_presets()[family],
        manifest_folder=folder,
        shard_folder=folder,
        cache_folder=folder,
        output_folder=folder,
        inputs={"manifests": "toy"},
        **values,
    )


@pytest.fixture
def pretrained(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Random weights of the family, as a checkpoint."""
    family, spec = FAMILIES[request.param], _data(request.param).manifest.spec
    torch.manual_seed(0)
    config = family.build_config("tiny", n_channels=spec.n_channels, n_labels=len(VOCABULARY))
    folder = tmp_path / "pretrained"
    folder.mkdir()
    save_trained(folder, family.classifier_class(config), spec, VOCABULARY)
    return folder


@pytest.mark.parametrize(
    ("pretrained", "method"),
    [
        (name, method)
        for name in OF_THEIR_OWN
        for method in METHODS
        if method == "full" or name in OTHER_METHODS[method]
    ],
    indirect=["pretrained"],
)
def test_a_method_changes_just_the_weights_it_trains(
    method: str, pretrained: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    name = load_trained(pretrained).model.config.model_type
    data, family = _data(name), FAMILIES[name]
    folder, _ = run_toy(_request(name, tmp_path, pretrained=pretrained, method=method), data)
    found = load_trained(folder)
    old, new = load_file(pretrained / WEIGHTS), load_file(folder / WEIGHTS)
    assert set(old) == set(new)
    parameters = {weight for weight, _ in found.model.named_parameters()}
    changed = {weight for weight in parameters if not old[weight].equal(new[weight])}
    head = found.model.head_parameters()
    assert head <= changed
    if method == "linear-probe":
        assert changed == head
    elif method == "full":
        never = {w for w in parameters if any(fnmatchcase(w, p) for p in family.never_trained)}
        assert changed == parameters - never
    else:
        ends = tuple(f".{layer}.weight" for layer in family.adapted_layers)
        assert changed - head == {weight for weight in parameters if weight.endswith(ends)}
    again = predict_records(found, data.manifest, data.signals, data.rows("valid"), device="cpu")
    np.testing.assert_allclose(
        read_validation_predictions(folder).score, again.score, rtol=0, atol=1e-6
    )
    assert family.pretrained_on.split(",")[0] in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", [n for n in OF_THEIR_OWN if FAMILIES[n].can_recompute])
def test_recomputed_activations_give_the_same_gradients(name: str) -> None:
    family, spec = FAMILIES[name], _data(name).manifest.spec
    torch.manual_seed(0)
    config = family.build_config("tiny", n_channels=spec.n_channels, n_labels=2)
    kept = family.classifier_class(config).train()
    without_dropout(kept)
    recomputed = copy.deepcopy(kept)
    checkpoint_activations(recomputed)
    calls = {id(kept): 0, id(recomputed): 0}
    signal = torch.randn(2, spec.n_channels, spec.segment_samples)
    for model in (kept, recomputed):

        def count(*_: Any, whose: int = id(model)) -> None:
            calls[whose] += 1

        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear | torch.nn.Conv1d):
                layer.register_forward_pre_hook(count)
        model(signal).logits.square().sum().backward()
    assert calls[id(recomputed)] > 1.5 * calls[id(kept)] > 0
    expected = dict(kept.named_parameters())
    for weight, value in recomputed.named_parameters():
        torch.testing.assert_close(value.grad, expected[weight].grad, rtol=1e-5, atol=1e-5)
