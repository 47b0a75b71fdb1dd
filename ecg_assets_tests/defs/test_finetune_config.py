from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

from ecg_assets.defs.assets.finetune import FinetuneConfig
from ecg_assets.finetune import FinetuneRequest, Recipe
from ecg_assets.finetune.recipe import AUGMENTATIONS

NAMES = (
    "epochs",
    "batch_size",
    "learning_rate",
    "method",
    "head_epochs",
    "lora_rank",
    "patience",
    "gradient_accumulation",
    "tf32",
    "data_location",
    "gradient_checkpointing",
    "compile",
    "report_to",
    *AUGMENTATIONS,
)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_run_may_change_is_a_field_of_its_request(name: str) -> None:
    allowed = {field.name for field in fields(Recipe)}
    allowed |= set(inspect.signature(FinetuneRequest.from_preset).parameters)
    assert name in allowed
    assert FinetuneConfig.model_fields[name].default is None
