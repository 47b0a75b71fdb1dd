"""The classes and the configuration that a recipe's family gives pre-training."""

from __future__ import annotations

from typing import Any

from ecg_assets.errors import SettingsError
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.model_family import find_object
from ecg_assets.models.pretraining.model import EcgForPreTraining
from ecg_assets.pretrain.recipe import PretrainRecipe

# transformers' own number for a configuration that says nothing of it; an encoder has no head.
_UNUSED_LABELS = 2


def pretraining_class(recipe: PretrainRecipe) -> type[EcgForPreTraining]:
    """Find the family's model with the heads of pre-training."""
    found: type[EcgForPreTraining] = find_object(FAMILIES[recipe.family].pretraining)
    return found


def encoder_class(recipe: PretrainRecipe) -> type[Any]:
    """Find the family's model without a head, which is what fine-tuning starts from.

    Raises
    ------
    SettingsError
        When the family says that it can be pre-trained and names no such model.
    """
    family = FAMILIES[recipe.family]
    if family.encoder_class is None:
        raise SettingsError(
            f"{family.title} names a model for pre-training and none without a head. Name one "
            "in the `encoder` of its ModelFamily."
        )
    return family.encoder_class


def encoder_config(recipe: PretrainRecipe, *, n_channels: int) -> Any:
    """Build the configuration of the encoder, of the recipe's size."""
    family = FAMILIES[recipe.family]
    return family.build_config(recipe.size, n_channels=n_channels, n_labels=_UNUSED_LABELS)
