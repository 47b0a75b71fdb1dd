"""A pre-training request: everything that determines an encoder, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ecg_assets.training.engine.request import TrainingRequest
from ecg_assets.training.pretrain.presets import PRESETS
from ecg_assets.training.pretrain.recipe import PretrainRecipe


class PretrainRequest(TrainingRequest):
    """Pre-train by this recipe on these signals; no label is used.

    The seed is also that of masks and negatives; the loss is computed in float32.
    """

    training_version = 1
    presets: ClassVar[Mapping[str, PretrainRecipe]] = PRESETS
    reads_labels = False

    recipe: PretrainRecipe
