"""Which weights a recipe's method trains, and when."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.finetune.adapters import add_adapters
from ecg_assets.finetune.linear_probe import HeadOnFeatures
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.models.classifier import EcgClassifier


def choose_trained_weights(model: EcgClassifier, recipe: Recipe) -> None:
    """Freeze what the recipe's method never trains; add adapters where it asks for them."""
    if recipe.freeze_convolutions:
        model.freeze_convolutions()
    if recipe.method == "linear-probe":
        for parameter in model.encoder_parameters():
            parameter.requires_grad_(False)
    elif recipe.method == "lora":
        add_adapters(model, recipe)


def trained_module(model: EcgClassifier, recipe: Recipe) -> nn.Module:
    """Choose what the Trainer trains, and keeps the weights of in its checkpoints."""
    return HeadOnFeatures(model) if recipe.method == "linear-probe" else model


class HeadFirst(TrainerCallback):  # type: ignore[misc]
    """Trains the head alone for some epochs, then all weights that were trainable before.

    The optimizer has all of them from the start; it skips a weight without a gradient, so
    that its moments begin when it is first trained. What is frozen follows from the epoch
    alone: a resumed run continues as an undisturbed one.

    Parameters
    ----------
    model
        Its frozen weights stay frozen.
    head_epochs
        Epochs of the head alone.
    """

    def __init__(self, model: EcgClassifier, head_epochs: int) -> None:
        self._trainable = [p for p in model.encoder_parameters() if p.requires_grad]
        self._head_epochs = head_epochs

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Freeze the encoder, or train it from here on."""
        is_trained = round(state.epoch) >= self._head_epochs
        for parameter in self._trainable:
            parameter.requires_grad_(is_trained)
