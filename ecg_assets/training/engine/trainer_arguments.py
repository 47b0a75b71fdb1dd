"""What every training here tells the Trainer: one checkpoint an epoch, the best one kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import TrainingArguments

from ecg_assets.errors import SettingsError
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.device_signals import choose_location
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.request import TrainingRecipe, TrainingRequest
from ecg_assets.training.engine.run import count_processes

_SCHEDULES = {
    "constant": "constant_with_warmup",
    "cosine": "cosine",
    "plateau": "reduce_lr_on_plateau",
}


def epoch_arguments(request: TrainingRequest, work: Path, **others: Any) -> TrainingArguments:
    """Build the Trainer's arguments.

    Parameters
    ----------
    request
        What to train, and where.
    work
        Training folder.
    **others
        Arguments of one kind of training.
    """
    recipe: TrainingRecipe = request.recipe
    device = require_machine(request)
    batch_size, n_passes = recipe.share(count_processes())
    arguments = TrainingArguments(
        output_dir=str(work),
        seed=request.seed,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=n_passes,
        # AdamW without decay is Adam. Fused it takes a quarter of the time on a CPU, too.
        optim="adamw_torch_fused",
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
        # A batch is copied while the GPU computes; waiting for it would be waiting for the step.
        accelerator_config={"non_blocking": device.type == "cuda"},
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",  # fine-tuning has `tracking_callbacks`
        log_level="error",
        **others,
    )
    _use_one_gpu(arguments, device)
    return arguments


def require_machine(request: TrainingRequest) -> torch.device:
    """Give the device of a request.

    Raises
    ------
    SettingsError
        When device or precision cannot be had, or the processes cannot share out its steps.
    """
    request.recipe.share(count_processes())
    device = choose_device(request.device)
    _require_gpus(device)
    autocast(device, request.precision)  # refuses fp16 on a CPU
    return device


def _require_gpus(device: torch.device) -> None:
    """Refuse more processes on this machine than it has GPUs."""
    n_local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if device.type == "cuda" and n_local > torch.cuda.device_count():
        raise SettingsError(
            f"{n_local} processes (ECG_LAUNCHER) train on this machine, where torch sees "
            f"{torch.cuda.device_count()} GPUs. Start one process a GPU (--nproc-per-node)."
        )


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


def locate_signals(
    request: TrainingRequest,
    data: TrainingData,
    rows: NDArray[np.int64],
    arguments: TrainingArguments,
) -> torch.device | None:
    """Choose where the signals of all `rows` are while training, and load batches accordingly.

    Returns
    -------
    torch.device or None
        As `choose_location`.
    """
    device = choose_location(
        request.data_location, data.signals, rows, data.manifest.spec, arguments.device
    )
    if device is not None:
        # Worker processes would copy the device's memory, and there is nothing left to pin or copy.
        arguments.dataloader_num_workers = 0
        arguments.dataloader_pin_memory = False
        arguments.accelerator_config.non_blocking = False
    return device


# Make torch compute the same numbers each time.


@contextmanager
def deterministic(device: str) -> Iterator[None]:
    """Use deterministic algorithms on a CPU inside the block; leave a GPU as it is.

    On a GPU they would slow attention's backward pass down, and some have none.
    """
    if choose_device(device).type != "cpu":
        yield
        return
    algorithms = torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    # Filling fresh memory with NaN finds bugs, and costs time in each operation.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
