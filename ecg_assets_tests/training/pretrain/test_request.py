from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecg_assets.training.pretrain.presets import PRESETS
from ecg_assets.training.pretrain.recipe import PretrainRecipe
from ecg_assets.training.pretrain.request import PretrainRequest


def _request(preset: str = "tiny-pretrain", **changes: Any) -> PretrainRequest:
    folders = ("manifest_folder", "shard_folder", "cache_folder", "output_folder")
    values: dict[str, Any] = {name: Path(name) for name in folders}
    values |= {"inputs": {"recordings": "some"}, **changes}
    return PretrainRequest.from_preset(preset, **values)


def test_a_request_survives_its_file(tmp_path: Path) -> None:
    request = _request(epochs=3, mask_length=5, seed=4)
    request.to_json_file(tmp_path / "request.json")
    found = PretrainRequest.from_json_file(tmp_path / "request.json")
    assert found == request
    assert (found.recipe.epochs, found.recipe.objective.mask_length) == (3, 5)


def test_what_changes_the_model_changes_its_name_and_nothing_else_does() -> None:
    name = _request().checkpoint_id
    changes: dict[str, Any] = {"seed": 1, "epochs": 2, "cmsc_weight": 2.0, "inputs": {"a": "b"}}
    for field, value in changes.items():
        assert _request(**{field: value}).checkpoint_id != name
    places: dict[str, Any] = {
        "device": "cpu",
        "n_workers": 2,
        "output_folder": Path("other"),
        "data_location": "device",
        "gradient_checkpointing": True,
        "compile": "on",
    }
    for field, value in places.items():
        assert _request(**{field: value}).checkpoint_id == name


def test_the_preset_of_ecg_fm_is_its_published_pre_training() -> None:
    recipe = PRESETS["ecg-fm-pretrain"]
    found = (recipe.learning_rate, recipe.adam_beta1, recipe.adam_beta2, recipe.adam_epsilon)
    assert found == (5e-5, 0.9, 0.98, 1e-6)
    assert (recipe.weight_decay, recipe.size, recipe.schedule) == (0.01, "base", "constant")
    assert recipe.optimizer == "fairseq-adam"
    # Pairs in an optimizer step: 64 on each of 4 GPUs, twice.
    assert recipe.batch_size * recipe.gradient_accumulation == 64 * 4 * 2


def test_the_preset_of_ecg_lfm_is_its_published_pre_training() -> None:
    recipe = PRESETS["ecg-lfm-pretrain"]
    found = (recipe.learning_rate, recipe.adam_beta1, recipe.adam_beta2, recipe.adam_epsilon)
    assert found == (5e-4, 0.9, 0.98, 1e-6)
    assert (recipe.family, recipe.size, recipe.epochs) == ("ecg-lfm", "base", 50)
    assert (recipe.weight_decay, recipe.schedule) == (0.01, "constant")
    assert recipe.optimizer == "fairseq-adam"
    # Pairs in an optimizer step: 64 on each of 2 GPUs, twice.
    assert recipe.batch_size * recipe.gradient_accumulation == 64 * 2 * 2
    objective = recipe.objective
    assert (objective.code_groups, objective.code_vectors, objective.code_width) == (1, 1024, 1024)
    assert (objective.contrastive_layer, objective.masked_prediction_weight) == (6, 1.0)
    assert (objective.mask_probability, objective.mask_length) == (0.65, 10)
    assert (objective.gumbel_start, objective.gumbel_end) == (2.0, 0.1)
    assert objective.cmsc_of == "encoder"  # its own, "features", trains no layer


def test_recipes_from_before_there_were_families_keep_their_names() -> None:
    """Fingerprints of requests whose checkpoints are stored by them."""
    assert _request().checkpoint_id == "tiny-pretrain-f1966d6a919e"
    # Its preset had torch's Adam then.
    found = _request("ecg-fm-pretrain", optimizer="adamw").checkpoint_id
    assert found == "ecg-fm-pretrain-447b8b1e6f54"


def test_stored_checkpoints_of_another_family_keep_their_names() -> None:
    changes: dict[str, Any] = {"pairs": "studies", "cmsc_weight": 2, "inputs": {"manifests": "abc"}}
    found = _request("ecg-lfm-tiny-pretrain", **changes)
    assert found.checkpoint_id == "ecg-lfm-tiny-pretrain-86bb3663aa95"


@pytest.mark.parametrize("changes", [{}, {"pairs": "studies", "cmsc_of": "features"}], ids=str)
def test_a_recipe_of_another_family_survives_its_json(changes: dict[str, Any]) -> None:
    recipe = _request("ecg-lfm-tiny-pretrain", **changes).recipe
    assert PretrainRecipe(**recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "huge"}, "preset is 'huge'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 1}, "batch_size is 1"),
        ({"size": "vast"}, "size is 'vast'"),
        ({"family": "ecg-founder"}, "family is 'ecg-founder'; it must be one of .*'ecg_fm'"),
        ({"family": "ecg-lfm", "size": "large"}, "size is 'large'.*with family 'ecg-lfm'"),
        ({"pairs": "patients"}, "pairs is 'patients'"),
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


def test_a_stored_request_is_read_and_keeps_its_checkpoints_name() -> None:
    """As it was written before requests were checked by pydantic."""
    path = Path(__file__).with_name("pretrain_request.json")
    request = PretrainRequest.from_json_file(path)
    assert request.checkpoint_id == "ecg-lfm-tiny-pretrain-86bb3663aa95"
    found = request.model_dump(mode="json")
    newer = {"data_location": "auto", "gradient_checkpointing": False, "compile": "auto"}
    assert found == {**json.loads(path.read_text()), **newer}
