from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecg_assets.lineage import fingerprint_bytes
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.request import FinetuneRequest


def _request(preset: str = "tiny", **changes: Any) -> FinetuneRequest:
    values: dict[str, Any] = {
        "manifest_folder": Path("data/manifests"),
        "shard_folder": Path("data/signal_shards"),
        "cache_folder": Path("data/cache"),
        "output_folder": Path("data/checkpoints"),
        "inputs": {"manifests": "abc", "signal_shards[p1000]": "def"},
    }
    return FinetuneRequest.from_preset(preset, **{**values, **changes})


@pytest.fixture()
def pretrained(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    return tmp_path


def test_a_request_survives_its_json_file(tmp_path: Path, pretrained: Path) -> None:
    request = _request(
        "ecg-fm-lead-i",
        pretrained=str(pretrained),
        precision="bf16",
    )
    request.to_json_file(tmp_path / "request.json")
    found = FinetuneRequest.from_json_file(tmp_path / "request.json")
    assert found == request
    assert found.request_id == request.request_id


def test_the_checkpoint_is_named_by_preset_and_request() -> None:
    request = _request()
    assert request.checkpoint_id == f"tiny-{request.request_id[:12]}"


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 1e-4},
        {"epochs": 3},
        {"seed": 1},
        {"precision": "bf16"},
        {"tf32": True},
        {"activation_dropout": 0.0},
        {"optimizer": "fairseq-adam"},
        {"inputs": {"manifests": "abd", "signal_shards[p1000]": "def"}},
    ],
)
def test_what_changes_the_model_changes_the_request_id(change: dict[str, Any]) -> None:
    assert _request(**change).request_id != _request().request_id


def test_where_it_runs_does_not_change_the_request_id() -> None:
    elsewhere = _request(
        manifest_folder=Path("/other"),
        output_folder=Path("/there"),
        device="cpu",
        n_workers=2,
        data_location="device",
        gradient_checkpointing=True,
        compile="on",
        report_to="tensorboard",
    )
    assert elsewhere.request_id == _request().request_id


def test_a_pretrained_checkpoint_counts_by_its_weights(pretrained: Path) -> None:
    request = _request("ecg-fm-lead-i", pretrained=pretrained)
    before = request.request_id
    (pretrained / "model.safetensors").write_bytes(b"other weights")
    assert _request("ecg-fm-lead-i", pretrained=pretrained).request_id != before


def test_presets_are_the_published_recipes() -> None:
    recipe = PRESETS["ecg-fm-lead-i"]
    assert recipe == Recipe(
        size="base",
        freeze_convolutions=True,
        epochs=100,
        batch_size=128,
        learning_rate=5e-5,
        optimizer="fairseq-adam",
        adam_beta1=0.9,
        adam_beta2=0.98,
        adam_epsilon=1e-8,
        weight_decay=0,
        max_gradient_norm=0,
        schedule="constant",
        warmup_fraction=0,
        activation_dropout=0.1,
        method="full",
        reports_test=True,
    )
    mimic = PRESETS["ecg-fm-mimic"]
    assert mimic == recipe.changed(learning_rate=1e-6, batch_size=256, reports_test=False)


def test_random_convolutions_are_not_frozen() -> None:
    with pytest.raises(ValueError, match="random ones would stay random"):
        _request("ecg-fm-lead-i")


@pytest.mark.parametrize("method", ["linear-probe", "lora"])
def test_a_random_encoder_is_not_frozen(method: str) -> None:
    with pytest.raises(ValueError, match="random ones would stay random"):
        _request(method=method)


def test_a_request_names_its_inputs() -> None:
    with pytest.raises(ValueError, match="inputs is empty"):
        _request(inputs={})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "huge"}, "preset is 'huge'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"schedule": "step"}, "schedule is 'step'"),
        ({"warmup_fraction": 1.0}, "warmup_fraction is 1.0"),
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"data_location": "disk"}, "data_location is 'disk'"),
        ({"compile": "yes"}, "compile is 'yes'"),
        ({"report_to": "wandb"}, "report_to is 'wandb'"),
        ({"method": "prompt"}, "method is 'prompt'"),
        ({"head_epochs": 1}, "head_epochs is 1; it must be 0 with method 'full'"),
        (
            {"method": "frozen-then-unfrozen", "head_epochs": 12},
            "head_epochs is 12; it must be from 1 to epochs - 1 = 11",
        ),
        ({"seed": -1}, "seed is -1"),
        ({"momentum": 0.9}, "'momentum'"),
    ],
)
def test_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _request(**change)


def test_inputs_tell_of_pretrained_weights_only_where_there_are_some() -> None:
    request = _request()
    with pytest.raises(ValueError, match="if and only if"):
        request.changed(pretrained=Path("somewhere"))
    with pytest.raises(ValueError, match="if and only if"):
        request.changed(inputs={"pretrained": fingerprint_bytes(b"")})


@pytest.mark.parametrize(
    ("preset", "change", "checkpoint_id"),
    [
        ("tiny", {}, "tiny-e23878c98f6f"),
        # Whole numbers stay as they were given, without a decimal point.
        ("tiny", {"max_gradient_norm": 1, "weight_decay": 0}, "tiny-5d48fd9504ce"),
        ("ecg-founder-six-tiny", {}, "ecg-founder-six-tiny-96537c9362f8"),
        (
            "ecg-lfm-tiny",
            {"noise_sd": 0.1, "seed": 3, "precision": "bf16", "tf32": True},
            "ecg-lfm-tiny-a5ab31c664c8",
        ),
    ],
)
def test_stored_checkpoints_keep_their_names(
    preset: str, change: dict[str, Any], checkpoint_id: str
) -> None:
    request = _request(preset, inputs={"manifests": "abc"}, **change)
    assert request.checkpoint_id == checkpoint_id
