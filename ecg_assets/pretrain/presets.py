"""Named recipes of pre-training."""

from __future__ import annotations

from ecg_assets.models.pretraining_objective import Objective
from ecg_assets.pretrain.recipe import PretrainRecipe

PRESETS: dict[str, PretrainRecipe] = {
    # For two CPU cores and some hundred recordings; a smaller codebook and a Gumbel
    # temperature that falls within hundreds of steps instead of hundreds of thousands.
    "tiny-pretrain": PretrainRecipe(
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
    ),
    # fairseq-signals' examples/w2v_cmsc/config/pretraining/w2v_cmsc_rlm.yaml. Its steps are of
    # 64 pairs on each of 4 GPUs, twice: on one GPU eight passes, on four GPUs
    # gradient_accumulation=2.
    "ecg-fm-pretrain": PretrainRecipe(
        size="base",
        epochs=200,
        batch_size=64,
        gradient_accumulation=8,
        learning_rate=5e-5,
    ),
}
"""Recipe by preset name."""
