"""Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685) inside the encoder, by PEFT."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from ecg_assets.errors import SettingsError
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import family_of


def add_adapters(model: EcgClassifier, recipe: Recipe) -> None:
    """Put adapters into the encoder, in place; only they and the head stay trainable.

    An adapter starts as no change: its second matrix is zero.

    Raises
    ------
    SettingsError
        When peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise SettingsError(
            "Method 'lora' needs the package peft, which is not installed. "
            "Install it (pip install 'ecg-assets[lora]'), or choose another method."
        ) from error
    config = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=list(family_of(model).adapted_layers),
        modules_to_save=[model.head_name],
    )
    inject_adapter_in_model(config, model)


def save_adapters(model: EcgClassifier, folder: Path) -> None:
    """Write the adapters and the head as `peft.PeftModel.from_pretrained` reads them.

    They belong on the model that training started from.
    """
    from peft import get_peft_model_state_dict

    state = get_peft_model_state_dict(model, adapter_name="default")
    folder.mkdir()
    model.peft_config["default"].save_pretrained(folder)
    save_file(
        {f"base_model.model.{name}": value.cpu().contiguous() for name, value in state.items()},
        folder / "adapter_model.safetensors",
    )


def merge_adapters(model: EcgClassifier) -> None:
    """Add the adapters to the weights that they adapt, in place: a model without adapters again."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge(safe_merge=True)
            model.set_submodule(name, layer.get_base_layer())
    head = model.get_submodule(f"{model.head_name}.modules_to_save.default")
    model.set_submodule(model.head_name, head)
    del model.peft_config
