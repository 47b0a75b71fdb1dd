"""Named recipes of pre-training."""

from __future__ import annotations

from typing import Any

from ecg_assets.entry_points import load_entry_points
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.training.pretrain.recipe import PretrainRecipe

GROUP = "ecg_assets.pretrain_presets"
"""Group of the entry points by which other packages bring recipes of pre-training."""

# For two CPU cores and some hundred recordings; a smaller codebook and a Gumbel temperature that
# falls within hundreds of steps instead of hundreds of thousands.
_TINY = PretrainRecipe(
    size="tiny",
    epochs=10,
    batch_size=32,
    learning_rate=2e-3,
    schedule="cosine",
    warmup_fraction=0.1,
    max_gradient_norm=1.0,
    objective=Objective(
        code_vectors=32, code_width=64, n_negatives=20, gumbel_decay=0.995, dropout=0.0
    ),
)
# What ECG-LFM's objective has apart from the sizes of its codebook and its layers.
_OF_ECG_LFM: dict[str, Any] = {
    "code_groups": 1,
    "gumbel_end": 0.1,
    "feature_gradient": 1.0,
    "masked_prediction_weight": 1.0,
}

PRESETS: dict[str, PretrainRecipe] = {
    "tiny-pretrain": _TINY,
    # fairseq-signals' examples/w2v_cmsc/config/pretraining/w2v_cmsc_rlm.yaml. Its steps are of
    # 64 pairs on each of 4 GPUs, twice: eight passes, which the GPUs there are share out.
    "ecg-fm-pretrain": PretrainRecipe(
        size="base",
        epochs=200,
        batch_size=64,
        gradient_accumulation=8,
        learning_rate=5e-5,
        optimizer="fairseq-adam",
    ),
    # ECG-LFM's on two CPU cores, with a smaller codebook as in the first preset.
    "ecg-lfm-tiny-pretrain": _TINY.changed(
        family="ecg-lfm", **_OF_ECG_LFM, contrastive_layer=1, dropout=0.1
    ),
    # ECG-LFM's configuration of pre-training, but for the contrast between patients: its own
    # reads the convolutions' features (cmsc_of="features") and cannot train the encoder. Its
    # README's command has 64 pairs on each of 2 GPUs, twice: four passes (the file itself says
    # 16 GPUs). On MIMIC-IV-ECG it pairs studies (pairs="studies"), on PTB-XL segments.
    "ecg-lfm-pretrain": PretrainRecipe(
        family="ecg-lfm",
        size="base",
        epochs=50,
        batch_size=64,
        gradient_accumulation=4,
        learning_rate=5e-4,
        optimizer="fairseq-adam",
        objective=Objective(
            **_OF_ECG_LFM,
            code_vectors=1024,
            code_width=1024,
            compared_width=768,
            contrastive_layer=6,
        ),
    ),
}
"""Recipe by preset name."""

for _name, _recipe in load_entry_points(GROUP, PretrainRecipe).items():
    PRESETS.setdefault(_name, _recipe)  # no package replaces a built-in one


def find_pretraining_preset(family: str, size: str) -> str | None:
    """Find the first preset that pre-trains a size of a family; None where there is none.

    >>> find_pretraining_preset("ecg_fm", "tiny")
    'tiny-pretrain'
    """
    for name, recipe in PRESETS.items():
        if (recipe.family, recipe.size) == (family, size):
            return name
    return None
