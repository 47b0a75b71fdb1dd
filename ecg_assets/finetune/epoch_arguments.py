"""What every training here tells the Trainer: one checkpoint an epoch, the best one kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from ecg_assets.errors import SettingsError

_SCHEDULES = {
    "constant": "constant_with_warmup",
    "cosine": "cosine",
    "plateau": "reduce_lr_on_plateau",
}


def epoch_arguments(
    request: Any, work: Path, device: torch.device, **others: Any
) -> TrainingArguments:
    """Build the Trainer's arguments.

    Parameters
    ----------
    request
        A `FinetuneRequest` or a `PretrainRequest`, whose recipes share these fields.
    work
        Training folder.
    device
        Where to train.
    **others
        Arguments of one kind of training.
    """
    recipe = request.recipe
    arguments = TrainingArguments(
        output_dir=str(work),
        seed=request.seed,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        # AdamW without decay is Adam.
        optim="adamw_torch",
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        adam_beta1=recipe.adam_beta1,
        adam_beta2=recipe.adam_beta2,
        adam_epsilon=recipe.adam_epsilon,
        max_grad_norm=recipe.max_gradient_norm,
        lr_scheduler_type=_SCHEDULES[recipe.schedule],
        lr_scheduler_kwargs={"factor": 0.5, "patience": 5}
        if recipe.schedule == "plateau"
        else None,
        warmup_steps=recipe.warmup_fraction,
        use_cpu=device.type == "cpu",
        bf16=request.precision == "bf16",
        fp16=request.precision == "fp16",
        logging_strategy="epoch",
        eval_strategy="epoch",
        save_strategy="epoch",
        # The best epoch is kept besides these two.
        save_total_limit=2,
        metric_for_best_model="valid_loss",
        greater_is_better=False,
        logging_nan_inf_filter=False,
        dataloader_num_workers=request.n_workers,
        dataloader_pin_memory=device.type == "cuda",
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",  # fine-tuning has `tracking_callbacks`
        log_level="error",
        **others,
    )
    _use_one_gpu(arguments, device)
    return arguments


def _use_one_gpu(arguments: TrainingArguments, device: torch.device) -> None:
    """Keep the Trainer from spreading batches over all GPUs of a machine.

    Several GPUs are used with ``python -m torch.distributed.run``, which starts a process
    for each.
    """
    if device.type != "cuda" or arguments.world_size > 1:
        return
    if (arguments.device.index or 0) != (device.index or 0):
        raise SettingsError(
            f"device is {device}; training uses the first visible GPU. Set "
            f"CUDA_VISIBLE_DEVICES={device.index} and device=cuda instead."
        )
    arguments._n_gpu = 1
