"""Train with transformers' Trainer, one checkpoint an epoch, resumed where it stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed
from transformers.utils.logging import disable_progress_bar

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.finetune.augmentation import AugmentedSegments
from ecg_assets.finetune.class_reports import KeepConfusion
from ecg_assets.finetune.data_location import choose_location
from ecg_assets.finetune.epoch_arguments import epoch_arguments
from ecg_assets.finetune.history import read_history, training_is_over
from ecg_assets.finetune.linear_probe import FeatureDataset
from ecg_assets.finetune.progress import Progress, Report
from ecg_assets.finetune.request import PRETRAINED_INPUT, FinetuneRequest
from ecg_assets.finetune.segments import Batch, EpochShuffle, SegmentDataset, keep_batch
from ecg_assets.finetune.starting_model import pretrained_model, random_model
from ecg_assets.finetune.tracking import tracking_callbacks
from ecg_assets.finetune.trained_weights import HeadFirst, choose_trained_weights, trained_module
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.finetune.validate import validate_logits
from ecg_assets.finetune.work_folder import list_checkpoints
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.families import family_of

Evaluated = list[tuple[str, NDArray[np.int64]]]
"""Name and rows of each split that is measured after each epoch."""
_EVALUATION_BATCH = 256
"""Segments in one forward pass of the validation."""


class EpochTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose order of segments depends on seed and epoch alone."""

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> EpochShuffle:
        on_epoch = getattr(self.train_dataset, "set_epoch", None)
        return EpochShuffle(len(self.train_dataset), self.args.seed, on_epoch)


def build_model(request: FinetuneRequest, data: TrainingData) -> EcgClassifier:
    """Build the model that training starts from; its random part depends on the seed alone."""
    set_seed(request.seed)
    spec, vocabulary = data.manifest.spec, data.manifest.vocabulary
    if request.pretrained is None:
        model = random_model(request.recipe, spec, vocabulary)
    else:
        model = pretrained_model(
            request.recipe,
            spec,
            vocabulary,
            request.pretrained,
            fingerprint=request.inputs[PRETRAINED_INPUT],
        )
    choose_trained_weights(model, request.recipe)
    return model


def train(
    request: FinetuneRequest,
    data: TrainingData,
    model: EcgClassifier,
    work: Path,
    report: Report,
) -> Trainer:
    """Train until the recipe's end; each epoch's checkpoint stays in `work`.

    The last whole checkpoint in `work` is resumed: weights, optimizer, schedule, random
    generators and order continue as if nothing had happened.

    Returns
    -------
    Trainer
        After training; on several GPUs it knows which process is the main one.
    """
    # The Trainer shows a progress bar for each file it saves.
    disable_progress_bar()
    checkpoints = list_checkpoints(work)
    trainer = _build_trainer(request, data, model, work, report)
    history = read_history(checkpoints[-1].state["log_history"]) if checkpoints else []
    if not training_is_over(
        history, epochs=request.recipe.epochs, patience=request.recipe.patience
    ):
        trainer.train(resume_from_checkpoint=str(checkpoints[-1].folder) if checkpoints else None)
    return trainer


def _build_trainer(
    request: FinetuneRequest,
    data: TrainingData,
    model: EcgClassifier,
    work: Path,
    report: Report,
) -> Trainer:
    recipe = request.recipe
    arguments = _arguments(request, work)
    evaluated = data.evaluated_rows(with_test=recipe.reports_test)
    train_data, evaluation_data = _datasets(request, data, evaluated, model, arguments)
    if request.gradient_checkpointing:
        checkpoint_activations(model)
    progress, confusion = Progress(recipe.epochs, recipe.patience, report), KeepConfusion()
    callbacks = [confusion, progress, *tracking_callbacks(request)]
    if recipe.method == "frozen-then-unfrozen":
        callbacks.append(HeadFirst(model, recipe.head_epochs))
    trainer = EpochTrainer(
        model=trained_module(model, recipe),
        args=arguments,
        data_collator=keep_batch,
        train_dataset=train_data,
        eval_dataset=evaluation_data,
        compute_metrics=_metrics(data, evaluated, confusion),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _datasets(
    request: FinetuneRequest,
    data: TrainingData,
    evaluated: Evaluated,
    model: EcgClassifier,
    arguments: TrainingArguments,
) -> list[Dataset[Batch]]:
    """Open what is trained on, and all that is measured as one: split after split."""
    splits = [data.rows("train"), np.concatenate([rows for _, rows in evaluated])]
    place = arguments.device
    device = choose_location(request.data_location, data, np.concatenate(splits), place)
    if device is not None:
        # Worker processes would copy the device's memory, and there is nothing left to pin.
        arguments.dataloader_num_workers = 0
        arguments.dataloader_pin_memory = False
    segments = [SegmentDataset(data, rows, model.config.n_channels, device) for rows in splits]
    if request.recipe.method == "linear-probe":
        return [FeatureDataset(model, part, place, request.precision) for part in segments]
    if request.recipe.augments:
        training, evaluation = segments
        spec = data.manifest.spec
        return [AugmentedSegments(training, request.recipe, spec, request.seed), evaluation]
    return [*segments]


def checkpoint_activations(model: EcgClassifier) -> None:
    """Compute the encoder's activations again in the backward pass instead of keeping them.

    Raises
    ------
    SettingsError
        When the family cannot.
    """
    family = family_of(model)
    if not family.can_recompute:
        raise SettingsError(
            f"gradient_checkpointing is True, but {family.title} cannot compute activations "
            "again. Set it to False; a smaller batch_size with gradient_accumulation saves memory."
        )
    # transformers before 5.23 has the older name alone.
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})


def _metrics(
    data: TrainingData, evaluated: Evaluated, confusion: KeepConfusion
) -> Callable[[Any], dict[str, float]]:
    ends = np.cumsum([data.n_segments(rows).sum() for _, rows in evaluated])

    def measure(outputs: Any) -> dict[str, float]:
        if not np.isfinite(outputs.predictions).all():
            raise EcgAssetsError(
                "Training diverged: the model's outputs are no longer numbers. Lower the learning "
                "rate, clip gradients (max_gradient_norm), or use bf16 instead of fp16."
            )
        metrics: dict[str, float] = {}
        parts = np.split(outputs.predictions, ends[:-1])
        for (name, rows), logits in zip(evaluated, parts, strict=True):
            result = validate_logits(data, rows, logits)
            metrics |= {f"{name}_loss": result.loss, f"{name}_macro_auroc": result.macro_auroc}
            if name == "valid" and result.confusion is not None:
                metrics["valid_accuracy"] = result.accuracy
                confusion.keep(result.confusion)
        return metrics

    return measure


def _arguments(request: FinetuneRequest, work: Path) -> TrainingArguments:
    recipe = request.recipe
    device = choose_device(request.device)
    autocast(device, request.precision)  # refuses fp16 on a CPU
    return epoch_arguments(
        request,
        work,
        device,
        run_name=request.checkpoint_id,
        per_device_eval_batch_size=_EVALUATION_BATCH,
        tf32=_use_tf32(request, device),
        torch_compile=request.compile == "on"
        or (request.compile == "auto" and device.type == "cuda"),
        # The encoder has no gradients while the head is trained alone.
        ddp_find_unused_parameters=recipe.method == "frozen-then-unfrozen",
    )


def _use_tf32(request: FinetuneRequest, device: torch.device) -> bool | None:
    """Say so either way on a GPU, whatever was set before; a CPU has no TF32."""
    if device.type == "cuda":
        return request.tf32
    if request.tf32:
        raise SettingsError(
            f"tf32 is True on device {device}; only a GPU has TF32. Set tf32=False, or "
            "device=cuda where there is a GPU."
        )
    return None
