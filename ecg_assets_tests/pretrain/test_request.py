from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ecg_assets.pretrain import PRESETS, PretrainRequest


def _request(preset: str = "tiny-pretrain", **changes: Any) -> PretrainRequest:
    folders = ("manifest_folder", "shard_folder", "cache_folder", "output_folder")
    values: dict[str, Any] = {name: Path(name) for name in folders}
    values |= {"inputs": {"recordings": "some"}, **changes}
    return PretrainRequest.from_preset(preset, **values)


def test_a_request_survives_its_file(tmp_path: Path) -> None:
    request = _request(epochs=3, mask_length=5, trained_on={"source": "toy"}, seed=4)
    request.to_json_file(tmp_path / "request.json")
    found = PretrainRequest.from_json_file(tmp_path / "request.json")
    assert found == request
    assert (found.recipe.epochs, found.recipe.objective.mask_length) == (3, 5)


def test_what_changes_the_model_changes_its_name_and_nothing_else_does() -> None:
    name = _request().checkpoint_id
    changes: dict[str, Any] = {"seed": 1, "epochs": 2, "cmsc_weight": 2.0, "inputs": {"a": "b"}}
    for field, value in changes.items():
        assert _request(**{field: value}).checkpoint_id != name
    places: dict[str, Any] = {"device": "cpu", "n_workers": 2, "output_folder": Path("other")}
    for field, value in places.items():
        assert _request(**{field: value}).checkpoint_id == name


def test_the_preset_of_ecg_fm_is_its_published_pre_training() -> None:
    recipe = PRESETS["ecg-fm-pretrain"]
    found = (recipe.learning_rate, recipe.adam_beta1, recipe.adam_beta2, recipe.adam_epsilon)
    assert found == (5e-5, 0.9, 0.98, 1e-6)
    assert (recipe.weight_decay, recipe.size, recipe.schedule) == (0.01, "base", "constant")
    # Pairs in an optimizer step: 64 on each of 4 GPUs, twice.
    assert recipe.batch_size * recipe.gradient_accumulation == 64 * 4 * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "huge"}, "preset is 'huge'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"size": "vast"}, "size is 'vast'"),
        ({"schedule": "step"}, "schedule is 'step'"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"warmup_fraction": 1.0}, "warmup_fraction is 1.0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0"),
        ({"mask_length": 0}, "mask_length is 0"),
        ({"momentum": 0.9}, "'momentum'"),
        ({"objective": None}, "'objective'"),
        ({"precision": "int8"}, "precision is 'int8'"),
        ({"seed": -1}, "seed is -1"),
        ({"inputs": {}}, "inputs is empty"),
    ],
    ids=str,
)
def test_a_wrong_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _request(**change)
