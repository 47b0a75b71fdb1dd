"""Pre-train with transformers' Trainer, one checkpoint an epoch, resumed where it stopped."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed
from transformers.utils.logging import disable_progress_bar

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.finetune.epoch_arguments import epoch_arguments
from ecg_assets.finetune.history import training_is_over
from ecg_assets.finetune.progress import Progress, Report
from ecg_assets.finetune.segments import keep_batch
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.finetune.work_folder import list_checkpoints
from ecg_assets.models.device import autocast, choose_device
from ecg_assets.models.pretraining.model import EcgForPreTraining
from ecg_assets.models.pretraining.output import PretrainingOutput
from ecg_assets.preprocess import SignalSpec
from ecg_assets.pretrain.architecture import encoder_config, pretraining_class
from ecg_assets.pretrain.history import measured, read_history
from ecg_assets.pretrain.paired_segments import find_pairs
from ecg_assets.pretrain.pairs import EpochNumberedShuffle, PairDataset
from ecg_assets.pretrain.request import PretrainRequest
from ecg_assets.pretrain.temperature import GumbelTemperature


class PretrainTrainer(Trainer):  # type: ignore[misc]
    """Trainer that measures each term of the loss, and decays all weights as ECG-FM did.

    Parameters
    ----------
    names
        Fields of `PretrainingOutput` that are measured.
    **values
        The Trainer's arguments.
    """

    def __init__(self, *, names: tuple[str, ...], **values: Any) -> None:
        super().__init__(**values)
        self._names = names
        self._sums = torch.zeros(len(names), dtype=torch.float64, device=self.args.device)
        self._n_batches = 0

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> EpochNumberedShuffle:
        return EpochNumberedShuffle(len(self.train_dataset), self.args.seed)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All: the Trainer would leave out biases and norms, fairseq's Adam does not."""
        return [name for name, _ in model.named_parameters()]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, PretrainingOutput]:
        """Compute the loss of a batch and add its terms to the epoch's."""
        output: PretrainingOutput = model(**inputs)
        if model.training:
            self._sums += self._measure(output)
            self._n_batches += 1
        return (output.loss, output) if return_outputs else output.loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Measure a batch: loss, a row of terms for each pair, and the pairs' patients."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            output: PretrainingOutput = model(**inputs)
        patients = inputs["patients"]
        terms = self._measure(output).float().expand(len(patients), -1).contiguous()
        return output.loss.detach(), terms, patients

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the terms' means over the epoch's batches, on all GPUs, beside its loss."""
        if "loss" in logs and self._n_batches:
            means = self.accelerator.reduce(self._sums / self._n_batches, "mean")
            logs |= dict(zip(self._names, means.tolist(), strict=True))
            self._sums.zero_()
            self._n_batches = 0
        super().log(logs, start_time)

    def _measure(self, output: PretrainingOutput) -> Tensor:
        """Values of the measured fields, float64 ``[field]``."""
        return torch.stack([getattr(output, name).detach() for name in self._names]).double()


def build_model(request: PretrainRequest, spec: SignalSpec) -> EcgForPreTraining:
    """Build the random model that training starts from; it depends on the seed alone.

    Raises
    ------
    SettingsError
        When the signals have one channel and leads are to be blanked.
    """
    recipe, objective = request.recipe, request.recipe.objective
    if spec.n_channels == 1 and objective.lead_mask_probability:
        raise SettingsError(
            f"lead_mask_probability is {objective.lead_mask_probability} for signals of one "
            "channel: whole segments would be blank. Build manifests with more leads or with "
            "one lead repeated (n_channels = 12), or set lead_mask_probability to 0."
        )
    set_seed(request.seed)
    encoder = encoder_config(recipe, n_channels=spec.n_channels)
    return pretraining_class(recipe).build(encoder, objective)


def train(
    request: PretrainRequest,
    data: TrainingData,
    model: EcgForPreTraining,
    work: Path,
    report: Report,
) -> Trainer:
    """Train until the recipe's end; each epoch's checkpoint stays in `work`.

    The last whole checkpoint in `work` is resumed: weights, optimizer, schedule, random
    generators, order, masks and Gumbel temperature continue as if nothing had happened.

    Returns
    -------
    Trainer
        After training; on several GPUs it knows which process is the main one.
    """
    # The Trainer shows a progress bar for each file it saves.
    disable_progress_bar()
    recipe = request.recipe
    datasets = {
        split: PairDataset(
            data,
            find_pairs(data, split, recipe.pairs),
            n_channels=model.config.n_channels,
            n_tokens=model.count_tokens(data.manifest.spec.segment_samples),
            objective=recipe.objective,
            seed=request.seed,
        )
        for split in ("train", "valid")
    }
    names = measured(recipe.objective)
    trainer = PretrainTrainer(
        names=names,
        model=model,
        args=_arguments(request, work),
        data_collator=keep_batch,
        train_dataset=datasets["train"],
        eval_dataset=datasets["valid"],
        compute_metrics=partial(_mean_terms, names=names),
        callbacks=[
            GumbelTemperature(),
            Progress(recipe.epochs, recipe.patience, report, read_history),
        ],
    )
    trainer.remove_callback(PrinterCallback)
    checkpoints = list_checkpoints(work)
    history = read_history(checkpoints[-1].state["log_history"]) if checkpoints else []
    if not training_is_over(history, epochs=recipe.epochs, patience=recipe.patience):
        trainer.train(resume_from_checkpoint=str(checkpoints[-1].folder) if checkpoints else None)
    return trainer


def _mean_terms(outputs: Any, *, names: tuple[str, ...]) -> dict[str, float]:
    """Mean over pairs of each batch's terms."""
    means = np.asarray(outputs.predictions, np.float64).mean(axis=0)
    if not np.isfinite(means).all():
        raise EcgAssetsError(
            "Pre-training diverged: the loss is no longer a number. Lower the learning rate, "
            "clip gradients (max_gradient_norm), or use bf16 instead of fp16."
        )
    return {f"valid_{name}": float(mean) for name, mean in zip(names, means, strict=True)}


def _arguments(request: PretrainRequest, work: Path) -> TrainingArguments:
    device = choose_device(request.device)
    autocast(device, request.precision)  # refuses fp16 on a CPU
    return epoch_arguments(
        request,
        work,
        device,
        # The contrast between patients depends on how many there are.
        per_device_eval_batch_size=request.recipe.batch_size,
        ddp_find_unused_parameters=False,
    )
