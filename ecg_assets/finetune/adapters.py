"""Low-rank adapters (LoRA, https://arxiv.org/abs/2106.09685) inside the encoder, by PEFT."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file

from ecg_assets.errors import SettingsError
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.models.ecg_fm import EcgFmForClassification

_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj", "intermediate_dense", "output_dense")
"""Linear layers of the encoder: attention, and the feed-forward layers."""


def add_adapters(model: EcgFmForClassification, recipe: Recipe) -> None:
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
        target_modules=list(_LAYERS),
        modules_to_save=["head"],
    )
    inject_adapter_in_model(config, model)


def save_adapters(model: EcgFmForClassification, folder: Path) -> None:
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


def merge_adapters(model: EcgFmForClassification) -> None:
    """Add the adapters to the weights that they adapt, in place: a model without adapters again."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge(safe_merge=True)
            model.set_submodule(name, layer.get_base_layer())
    model.set_submodule("head", model.get_submodule("head.modules_to_save.default"))
    del model.peft_config
