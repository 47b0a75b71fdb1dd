"""Signals without labels to an encoder that fine-tuning starts from.

Belongs here: pairs of segments, masks, presets and the training loop of
pre-training, its record. Does not belong here: the model and its loss (models),
manifests (build), training with labels (finetune, whose training folder and order are
shared). Used by defs. `PretrainRequest` needs no torch; `pretrain` loads it when called.
"""

from ecg_assets.pretrain.presets import PRESETS
from ecg_assets.pretrain.pretraining import pretrain
from ecg_assets.pretrain.recipe import PretrainRecipe
from ecg_assets.pretrain.request import PretrainRequest

__all__ = ["PRESETS", "PretrainRecipe", "PretrainRequest", "pretrain"]
