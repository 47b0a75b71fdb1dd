"""A request and labelled signals to a checkpoint.

Belongs here: presets, training with transformers' Trainer, resuming, the training
record. Does not belong here: architectures and checkpoint files (models), manifests
(build), metrics of finished models (evaluation). Used by pretrain and defs.
`FinetuneRequest` needs no torch; `finetune` loads it when called.
"""

from ecg_assets.finetune.finetuning import finetune
from ecg_assets.finetune.presets import PRESETS
from ecg_assets.finetune.recipe import Recipe
from ecg_assets.finetune.request import FinetuneRequest

__all__ = ["PRESETS", "FinetuneRequest", "Recipe", "finetune"]
