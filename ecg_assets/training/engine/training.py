"""A training with transformers' Trainer: one checkpoint an epoch, resumed where it stopped."""

from __future__ import annotations

import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import (
    PreTrainedModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.utils.logging import disable_progress_bar

from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.models.checkpoint_folder import RUN, WEIGHTS, read_json, require_files
from ecg_assets.models.device_signals import to_device
from ecg_assets.models.families import FAMILIES, family_of
from ecg_assets.models.family import ModelFamily
from ecg_assets.storage import explain_full_disk, replace_folder
from ecg_assets.training.engine.compilation import Compilation
from ecg_assets.training.engine.data import TrainingData, open_training_data
from ecg_assets.training.engine.history import History, read_history, training_is_over
from ecg_assets.training.engine.optimizer import FairseqAdam
from ecg_assets.training.engine.request import TrainingRecipe, TrainingRequest
from ecg_assets.training.engine.run import (
    SECONDS_BETWEEN_LINES,
    Report,
    best_checkpoint,
    list_checkpoints,
    prepare_work_folder,
    read_log,
    report_signals,
    run_once,
    work_folder_of,
)
from ecg_assets.training.engine.segments import EpochShuffle, SharedBatches, SharedLoader
from ecg_assets.training.engine.trainer_arguments import deterministic, require_machine

Request = TypeVar("Request", bound=TrainingRequest)
Model = TypeVar("Model", bound=PreTrainedModel)
Log = list[dict[str, Any]]


class EpochTraining(ABC, Generic[Request, Model]):
    """A request with its data: what one kind of training makes of it, for `train_request`.

    Parameters
    ----------
    request
        What to train.
    data
        On what.
    """

    files: ClassVar[tuple[str, ...]]
    """All that a finished folder holds."""

    def __init__(self, request: Request, data: TrainingData) -> None:
        self.request, self.data = request, data

    @classmethod
    def read_run(cls, folder: Path) -> Mapping[str, Any]:
        """Read run.json of a finished folder; raise `CheckpointError` unless that is complete."""
        require_files(folder, cls.files)
        return read_json(folder / RUN)

    @classmethod
    def require_possible(cls, request: Request) -> None:
        """Refuse, before signals are read, what this machine cannot do."""
        require_machine(request)
        if request.gradient_checkpointing:
            require_recomputing(FAMILIES[request.recipe.family])

    @abstractmethod
    def build_model(self) -> Model:
        """Build the model that training starts from; its random part depends on the seed alone."""

    @abstractmethod
    def build_trainer(self, model: Model, work: Path, progress: Progress) -> EpochTrainer:
        """Build the trainer of all epochs, with `progress` among its callbacks."""

    @abstractmethod
    def write_result(
        self, model: Model, weights: dict[str, Tensor], log: Log, folder: Path
    ) -> None:
        """Write the finished checkpoint.

        Parameters
        ----------
        model
            Of the right shape, with any weights.
        weights
            What the Trainer stored of the best epoch.
        log
            `TrainerState.log_history` of all epochs.
        folder
            Empty; it gets its place when all is written.
        """


def train_request(
    kind: type[EpochTraining[Request, Model]],
    request: Request,
    report: Report,
    open_data: Callable[[Request], TrainingData] | None,
) -> Path:
    """Train a request's model, or return its finished folder.

    A killed run leaves ``<output_folder>/.training-<request id>``; the same request
    continues there from its last whole epoch and ends with the same weights, bit for bit
    on a CPU. The finished folder appears at once and complete.

    Parameters
    ----------
    kind
        What is made of the request.
    request
        What to train.
    report
        Gets events as dicts of numbers and short strings; ``event`` is ``signals``,
        ``start``, ``compile``, ``compiled``, ``step``, ``epoch``, ``finished`` or ``reused``. What
        it raises ends the training.
    open_data
        Reads the request's manifest and signals; None for `open_training_data`.

    Returns
    -------
    Path
        ``<output_folder>/<checkpoint_id>``.

    Raises
    ------
    SchemaError
        When the manifest has no recordings to train on or to validate with.
    CheckpointError
        When the pretrained checkpoint is of another kind, or was changed since.
    SpecMismatch
        When the manifest's signals are of another kind, or give other channels, than the
        model reads.
    SettingsError
        When the device or precision cannot be had.
    """
    train = partial(_train, kind=kind, open_data=open_data)
    return run_once(request, report, read_run=kind.read_run, train=train)


def _train(
    request: Request,
    report: Report,
    folder: Path,
    *,
    kind: type[EpochTraining[Request, Model]],
    open_data: Callable[[Request], TrainingData] | None,
) -> None:
    kind.require_possible(request)
    work = work_folder_of(request)
    n_removed = prepare_work_folder(work)
    data = (
        open_data(request)
        if open_data
        else open_training_data(request, progress=report_signals(report))
    )
    data = data.for_request(request)
    training = kind(request, data)
    with deterministic(request.device):
        model = training.build_model()
        if request.gradient_checkpointing:
            checkpoint_activations(model)
        report(
            {
                "event": "start",
                "checkpoint_id": request.checkpoint_id,
                "n_train_records": len(data.rows("train")),
                "n_valid_records": len(data.rows("valid")),
                "n_parameters": sum(p.numel() for p in model.parameters()),
                "epochs_already_trained": len(read_history(read_log(work))),
                "half_written_checkpoints_removed": n_removed,
            }
        )
        trainer = training.build_trainer(model, work, Progress(request.recipe, report))
        kept = f"Epochs that were finished stay in {work}, and the same request goes on from them."
        with explain_full_disk(work, kept):
            train_epochs(trainer, request.recipe, work)
        if trainer.is_world_process_zero():
            weights = load_file(best_checkpoint(work).folder / WEIGHTS)
            with replace_folder(folder) as temporary:
                training.write_result(model, weights, read_log(work), temporary)
            shutil.rmtree(work)
        trainer.accelerator.wait_for_everyone()


def train_epochs(trainer: Trainer, recipe: TrainingRecipe, work: Path) -> None:
    """Train until the recipe's end; each epoch's checkpoint stays in `work`.

    The last whole checkpoint in `work` is resumed: weights, optimizer, schedule, random
    generators and order continue as if nothing had happened.
    """
    # The Trainer shows a progress bar for each file it saves.
    disable_progress_bar()
    trainer.remove_callback(PrinterCallback)
    checkpoints = list_checkpoints(work)
    if checkpoints:
        best_checkpoint(work)  # without it the result could not be written
    history = read_history(read_log(work), recipe.history_columns)
    if not _is_over(history, recipe):
        trainer.train(resume_from_checkpoint=str(checkpoints[-1].folder) if checkpoints else None)


def _is_over(history: History, recipe: TrainingRecipe) -> bool:
    rule = {"patience": recipe.patience, "patient_from": recipe.patient_from}
    return training_is_over(history, epochs=recipe.epochs, **rule)


class EpochTrainer(Trainer):  # type: ignore[misc]
    """Trainer whose order depends on seed and epoch alone, and that never waits for a GPU.

    Parameters
    ----------
    recipe
        Says which Adam it is.
    compilation
        Compiles the model, or not.
    rate_factors
        Factor of the learning rate of each of the model's weights by its name; None: all have 1.
    **values
        The Trainer's own arguments.
    """

    optimizer_cls_and_kwargs: Any  # the Trainer's, which has no types

    def __init__(
        self,
        *,
        recipe: TrainingRecipe,
        compilation: Compilation,
        rate_factors: Mapping[str, float] | None = None,
        **values: Any,
    ) -> None:
        if recipe.optimizer == "fairseq-adam":
            betas = recipe.adam_beta1, recipe.adam_beta2
            adam = {"lr": recipe.learning_rate, "betas": betas, "eps": recipe.adam_epsilon}
            values["optimizer_cls_and_kwargs"] = FairseqAdam, adam
        super().__init__(**values)
        self._rate_factors = rate_factors
        self._decays_all = recipe.optimizer == "fairseq-adam"
        self._batches: SharedBatches
        self._n_batches = 0
        self._compilation = compilation
        self.add_callback(compilation)

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """All for fairseq's Adam; else the Trainer's choice, which leaves out biases and norms."""
        if self._decays_all:
            return [name for name, _ in model.named_parameters()]
        names: list[str] = super().get_decay_parameter_names(model)
        return names

    def create_optimizer(self, *rest: Any) -> torch.optim.Optimizer:
        """Build the optimizer; with factors, a group of each rate with and without decay."""
        if self._rate_factors is not None and self.optimizer is None:
            model = rest[0] if rest else self.model
            kind, values = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(
                self.args, model
            )
            groups = self._groups_by_rate(model, self._rate_factors)
            self.optimizer_cls_and_kwargs = kind, {**values, "params": groups}
        optimizer: torch.optim.Optimizer = super().create_optimizer(*rest)
        return optimizer

    def _groups_by_rate(
        self, model: nn.Module, factors: Mapping[str, float]
    ) -> list[dict[str, Any]]:
        decaying = set(self.get_decay_parameter_names(model))
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, value in model.named_parameters():
            if value.requires_grad:
                groups.setdefault((factors[name], name in decaying), []).append(value)
        decay = self.args.weight_decay
        return [
            {
                "params": weights,
                "lr": self.args.learning_rate * factor,
                # Where a schedule sets it too, to the same: that of a plateau does not.
                "initial_lr": self.args.learning_rate * factor,
                "weight_decay": decay if decays else 0.0,
            }
            for (factor, decays), weights in groups.items()
        ]

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], *rest: Any) -> Tensor:
        """Run a batch forward and backward; one that is not whole eagerly."""
        number = self._n_batches % len(self._batches)
        self.current_gradient_accumulation_steps = self._batches.divisor(number)
        self._n_batches += 1
        with self._compilation.of_whole_batches(inputs, "training"):
            loss: Tensor = super().training_step(model, inputs, *rest)
        return loss

    def prediction_step(
        self, model: nn.Module, inputs: dict[str, Tensor], *rest: Any, **named: Any
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Run a batch forward; one that is not whole eagerly."""
        with self._compilation.of_whole_batches(inputs, "evaluation"):
            found: tuple[Tensor | None, Tensor | None, Tensor | None]
            found = super().prediction_step(model, inputs, *rest, **named)
        return found

    def _get_learning_rate(self) -> float:
        """Log the head's rate, which no layer's is above; the Trainer takes the first group's."""
        return max(float(group["lr"]) for group in self.optimizer.param_groups)

    def floating_point_ops(self, inputs: dict[str, Tensor]) -> int:
        """Count nothing: nobody reads it, and the Trainer walks over all weights in each step."""
        return 0

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Load all batches, or of several processes this one's."""
        segments: Any = self.train_dataset
        self._batches = SharedBatches(
            self._get_train_sampler(),
            getattr(segments, "counts", None),
            batch_size=self.args.per_device_train_batch_size,
            n_passes=self.args.gradient_accumulation_steps,
            rank=self.args.process_index,
            n_processes=self.args.world_size,
        )
        return SharedLoader(
            segments,
            batch_sampler=self._batches,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _prepare_input(self, data: Any) -> Any:
        """Copy to the device; the Trainer would wait until it is there."""
        if isinstance(data, Tensor):
            return to_device(data, self.args.device)
        return super()._prepare_input(data)

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> EpochShuffle:
        on_epoch = getattr(self.train_dataset, "set_epoch", None)
        return EpochShuffle(len(self.train_dataset), self.args.seed, on_epoch)


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Compute the encoder's activations again in the backward pass instead of keeping them.

    Raises
    ------
    SettingsError
        When the family cannot.
    """
    require_recomputing(family_of(model))
    # transformers before 5.23 has the older name alone.
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)({"use_reentrant": False})


def require_recomputing(family: ModelFamily) -> None:
    """Raise `SettingsError` when a family cannot compute activations again."""
    if not family.can_recompute:
        raise SettingsError(
            f"gradient_checkpointing is True, but {family.title} cannot compute activations "
            "again. Set it to False; a smaller batch_size with gradient_accumulation saves memory."
        )


def require_finite(outputs: NDArray[np.floating[Any]]) -> None:
    """Stop a training that gave outputs or losses which are no numbers."""
    if not np.isfinite(outputs).all():
        raise EcgAssetsError(
            "Training diverged: what the model gives is no longer a number. Lower the learning "
            "rate, clip gradients (max_gradient_norm), or use bf16 instead of fp16."
        )


_SHARE_BETWEEN_STEPS = 0.05


def _as_time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


class Progress(TrainerCallback):  # type: ignore[misc]
    """Reports steps and epochs, and ends training by the recipe's rule.

    Steps are reported every 10 s at first, then whenever a twentieth of the time so far has
    passed: in a minute six times, in six hours some hundred times.

    The time left is that to the recipe's last epoch; a training that ends early takes less.

    What it decides follows from the Trainer's log alone, so that a resumed run decides
    as an undisturbed one.

    Parameters
    ----------
    recipe
        Says when training ends.
    report
        Takes the events.
    """

    def __init__(self, recipe: TrainingRecipe, report: Report) -> None:
        self._recipe = recipe
        self.report = report
        self._started = self._epoch_started = self._reported = time.monotonic()
        self._reported_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock; a resumed run has done steps already."""
        self._started = self._reported = time.monotonic()
        self._reported_step = state.global_step

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the epoch's clock."""
        self._epoch_started = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Report the step, how fast it is, and about how long the rest takes."""
        now = time.monotonic()
        passed, so_far = now - self._reported, now - self._started
        if passed < max(SECONDS_BETWEEN_LINES, _SHARE_BETWEEN_STEPS * so_far):
            return
        step_s = passed / (state.global_step - self._reported_step)
        self._reported, self._reported_step = now, state.global_step
        self.report(
            {
                "event": "step",
                "step": state.global_step,
                "of_steps": state.max_steps,
                "epoch": float(state.epoch),
                "samples_per_second": round(self._recipe.samples_per_step / step_s),
                "time_left": _as_time((state.max_steps - state.global_step) * step_s),
            }
        )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float],
        **_: Any,
    ) -> None:
        """Report the epoch; end training when the recipe says so."""
        recipe = self._recipe
        seconds = state.log_history[-1]["seconds"] = time.monotonic() - self._epoch_started
        history = read_history(state.log_history, recipe.history_columns)
        left = {"time_left": _as_time((recipe.epochs - history[-1]["epoch"]) * seconds)}
        self.report({"event": "epoch", "of_epochs": recipe.epochs, **history[-1], **left})
        if _is_over(history, recipe):
            control.should_training_stop = True
