"""What a training's run configuration may set, and where it arrives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap

from ecg_assets.defs import training_requests
from ecg_assets.defs.assets.experiments import (
    ProbeGridConfig,
    fold_checkpoint,
    grid_checkpoint,
    repeated_checkpoint,
)
from ecg_assets.defs.assets.finetune import finetuned_checkpoint
from ecg_assets.defs.assets.pretrain import PretrainConfig, pretrained_checkpoint
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.training_requests import FinetuneConfig, how_it_trains
from ecg_assets.lineage import fingerprint_bytes
from ecg_assets.training.engine.request import TrainingRecipe
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.recipe import Recipe
from ecg_assets.training.finetune.request import PRETRAINED_INPUT, FinetuneRequest
from ecg_assets.training.pretrain.recipe import PretrainRecipe
from ecg_assets.training.pretrain.request import PretrainRequest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fine_tuning.md"
FOLDERS: dict[str, Any] = dict.fromkeys(
    ("manifest_folder", "shard_folder", "cache_folder", "output_folder"), Path("folder")
)
OF_REQUEST = {
    "tf32": True,
    "data_location": "mmap",
    "gradient_checkpointing": True,
    "compile": "off",
    "report_to": "mlflow",
}
FINE_TUNING: dict[str, Any] = {
    "size": "base",
    "any_signals": True,
    "epochs": 7,
    "batch_size": 5,
    "learning_rate": 0.5,
    "gradient_accumulation": 2,
    "optimizer": "fairseq-adam",
    "schedule": "constant",
    "warmup_fraction": 0.3,
    "weight_decay": 0.2,
    "adam_beta1": 0.7,
    "adam_beta2": 0.8,
    "adam_epsilon": 1e-3,
    "max_gradient_norm": 3.0,
    "patience": 4,
    "family": "ecg-lfm",
    "freeze_convolutions": True,
    "method": "frozen-then-unfrozen",
    "attention_pool_heads": 8,
    "layer_decay": 0.75,
    "early_rate": 0.1,
    "late_rate": 0.5,
    "head_epochs": 2,
    "lora_rank": 3,
    "lora_alpha": 5,
    "lora_dropout": 0.4,
    "activation_dropout": 0.6,
    "reports_test": False,
    "objective": "exclusive",
    "train_fraction": 0.5,
    "noise_sd": 0.1,
    "lead_dropout": 0.2,
    "amplitude_change": 0.3,
    "time_shift_s": 0.4,
    "wander_amplitude": 0.5,
}
PRE_TRAINING: dict[str, Any] = {
    **{name: FINE_TUNING[name] for name in TrainingRecipe.settings()},
    "weight_decay": 0.3,
    "pairs": "studies",
    "mask_probability": 0.5,
    "mask_length": 4,
    "n_negatives": 7,
    "contrastive_temperature": 0.2,
    "cmsc_temperature": 0.3,
    "code_vectors": 16,
    "code_groups": 4,
    "code_width": 32,
    "gumbel_start": 3.0,
    "gumbel_end": 0.7,
    "gumbel_decay": 0.9,
    "diversity_weight": 0.6,
    "feature_penalty_weight": 5.0,
    "cmsc_weight": 2.0,
    "feature_gradient": 0.4,
    "dropout": 0.2,
    "lead_mask_probability": 0.0,
    "compared_width": 8,
    "masked_prediction_weight": 0.5,
    "contrastive_layer": 1,
    "cmsc_of": "features",
}


def test_all_that_a_fine_tuning_run_sets_arrives_in_its_request() -> None:
    assert set(FINE_TUNING) == set(Recipe.model_fields) - {"random_encoder"}  # has no such method
    values = {**FINE_TUNING, **OF_REQUEST}
    changes = FinetuneConfig(**values).changes()
    recipe = FinetuneRequest.recipe_of("tiny", {k: changes[k] for k in FINE_TUNING})
    plain = PRESETS["tiny"]
    for name, value in FINE_TUNING.items():
        assert getattr(recipe, name) == value != getattr(plain, name), name
    request = FinetuneRequest(
        preset="tiny",
        recipe=recipe,
        pretrained=Path("start"),
        inputs={PRETRAINED_INPUT: fingerprint_bytes(b"")},
        **FOLDERS,
        **{name: changes[name] for name in OF_REQUEST},
    )
    for name, expected in OF_REQUEST.items():
        assert getattr(request, name) == expected != FinetuneRequest.model_fields[name].default


def test_all_that_a_pre_training_run_sets_arrives_in_its_request() -> None:
    assert set(PRE_TRAINING) == set(PretrainRecipe.settings())
    plain = PretrainRequest.from_preset("tiny-pretrain", inputs={"a": "b"}, **FOLDERS).recipe
    how: dict[str, Any] = {name: OF_REQUEST[name] for name in how_it_trains(PretrainRequest)}
    config = PretrainConfig(**PRE_TRAINING, **how)
    request = PretrainRequest.from_preset(
        config.preset, inputs={"a": "b"}, **FOLDERS, **config.changes()
    )
    assert {name: getattr(request, name) for name in how} == how
    found = request.recipe
    for name, value in PRE_TRAINING.items():
        holder, before = (
            (one if name in PretrainRecipe.model_fields else one.objective)
            for one in (found, plain)
        )
        assert getattr(holder, name) == value != getattr(before, name), name


def test_epochs_and_learning_rate_stand_in_the_launchpad() -> None:
    """What Dagster fills in when it is opened: fields whose default is empty are not in it."""
    job = build_definitions().resolve_job_def("finetune")
    snapshot = job.get_job_snapshot().config_schema_snapshot
    root = snapshot.get_config_snap(job.run_config_schema.config_type.key)
    filled = yaml.safe_load(default_values_yaml_from_type_snap(snapshot, root))
    shown = filled["ops"]["finetuned_checkpoint"]["config"]
    assert shown["epochs"] == 0 and shown["learning_rate"] == 0
    assert FinetuneConfig(**shown).changes() == {}


def test_the_pages_example_is_a_run_configuration() -> None:
    values = _example("finetuned_checkpoint")
    job = build_definitions().resolve_job_def("finetune")
    assert dg.validate_run_config(job, values)
    config = FinetuneConfig(**values["ops"]["finetuned_checkpoint"]["config"])
    assert config.changes() == {
        "epochs": 3,
        "learning_rate": 0.002,
        "batch_size": 16,
        "patience": 2,
    }


def test_the_pages_grid_of_probes_is_the_default_one() -> None:
    values = _example("probe_grid")["ops"]["probe_grid"]["config"]
    assert values == ProbeGridConfig().model_dump(exclude={"preset", "pretrained"})


def _example(asset: str) -> Any:
    """Read the page's one run configuration of an asset."""
    examples = re.findall(r"```yaml\n(ops:.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    (found,) = (one for one in map(yaml.safe_load, examples) if asset in one["ops"])
    return found


def test_a_run_that_sets_nothing_changes_nothing() -> None:
    assert FinetuneConfig().changes() == PretrainConfig().changes() == {}


@pytest.mark.parametrize(
    ("asset", "recipe"),
    [
        (finetuned_checkpoint, Recipe),
        (fold_checkpoint, Recipe),
        (grid_checkpoint, Recipe),
        (repeated_checkpoint, Recipe),
        (pretrained_checkpoint, PretrainRecipe),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_launchpad_shows_each_field_with_the_recipes_description(
    asset: dg.AssetsDefinition, recipe: type[TrainingRecipe]
) -> None:
    shown: dict[str, Any] = vars(asset.op.config_schema.config_type)["fields"]
    for name, field in recipe.settings().items():
        assert field.description
        assert shown[name].description.startswith(field.description)
        assert not shown[name].is_required


def test_a_wrong_word_is_refused_with_the_words_that_are_allowed() -> None:
    values: dict[str, Any] = {"objective": "softmax"}
    config = FinetuneConfig(**values)
    allowed = "'multi-label', 'exclusive', 'mean-squared-error' or 'huber'"
    with pytest.raises(ValueError, match=f"objective is 'softmax'; it must be {allowed}"):
        FinetuneRequest.recipe_of("tiny", config.changes())


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"preset": "tny"}, r"preset is 'tny'; allowed: \("),
        ({"size": "huge"}, "size is 'huge'; it must be one of"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"preset": "ecg-founder-six", "method": "lora"}, "another than 'lora' with ECGFounder"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_before_its_start_is_fetched(
    config: dict[str, Any], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr(training_requests, "_pretrained_folder", fetch)
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(ValueError, match=fault):
        run = FinetuneConfig(pretrained="hf:owner/name", **config)
        training_requests.native_request(instance, Settings(), run)
