"""Pre-train: from a request to a finished checkpoint folder."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint import save_model
from ecg_assets.models.checkpoint_folder import (
    CONFIG,
    CURVES,
    HISTORY,
    PRETRAINING_WEIGHTS,
    RUN,
    SIGNAL_SPEC,
    WEIGHTS,
)
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.family import find_object
from ecg_assets.models.pretraining.model import EcgForPreTraining, PretrainingOutput
from ecg_assets.models.seen_patients import PRE_TRAINING
from ecg_assets.models.signals import ModelInput, require_readable
from ecg_assets.models.weights import load_weights
from ecg_assets.training.engine.compilation import Compilation
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.history import best_row, read_history
from ecg_assets.training.engine.run import Report, work_folder_of
from ecg_assets.training.engine.run_record import run_record, write_run
from ecg_assets.training.engine.segments import keep_batch
from ecg_assets.training.engine.trainer_arguments import epoch_arguments, locate_signals
from ecg_assets.training.engine.training import (
    EpochTrainer,
    EpochTraining,
    Log,
    Progress,
    require_finite,
    train_request,
)
from ecg_assets.training.pretrain.pairs import PairDataset, find_pairs
from ecg_assets.training.pretrain.recipe import PretrainRecipe
from ecg_assets.training.pretrain.request import PretrainRequest

FILES = (WEIGHTS, PRETRAINING_WEIGHTS, CONFIG, SIGNAL_SPEC, RUN, HISTORY, CURVES)

OpenData = Callable[[PretrainRequest], TrainingData]


def pretrain(
    request: PretrainRequest, report: Report, *, open_data: OpenData | None = None
) -> Path:
    """Pre-train a request's encoder, or return its finished folder, as `train_request` says.

    `SchemaError` is raised, too, when no recording to train on or to validate with has two
    segments; `SettingsError` when leads of one-channel signals are to be blanked.
    """
    return train_request(Pretraining, request, report, open_data)


class Pretraining(EpochTraining[PretrainRequest, EcgForPreTraining]):
    """An encoder trained on signals alone."""

    files = FILES

    def build_model(self) -> EcgForPreTraining:
        """Build the random model that training starts from; it depends on the seed alone.

        Raises
        ------
        SpecMismatch
            When the signals are of another kind than the family reads.
        SettingsError
            When the signals have one channel and leads are to be blanked.
        """
        recipe, spec = self.request.recipe, self.data.manifest.spec
        objective = recipe.objective
        family = FAMILIES[recipe.family]
        require_readable(ModelInput(family, spec.n_channels, where="random weights"), spec)
        if spec.n_channels == 1 and objective.lead_mask_probability:
            raise SettingsError(
                f"lead_mask_probability is {objective.lead_mask_probability} for signals of one "
                "channel: whole segments would be blank. Build manifests with more leads or with "
                "one lead repeated (n_channels = 12), or set lead_mask_probability to 0."
            )
        set_seed(self.request.seed)
        encoder = encoder_config(recipe, n_channels=spec.n_channels)
        return pretraining_class(recipe).build(encoder, objective)

    def build_trainer(
        self, model: EcgForPreTraining, work: Path, progress: Progress
    ) -> EpochTrainer:
        """Build the trainer, which measures each term of the loss."""
        request, recipe = self.request, self.request.recipe
        arguments = epoch_arguments(
            request,
            work,
            # The contrast between patients depends on how many there are.
            per_device_eval_batch_size=recipe.batch_size,
            ddp_find_unused_parameters=False,
        )
        train_data, valid_data = self._datasets(model, arguments)
        names = recipe.objective.measured
        return PretrainTrainer(
            names=names,
            recipe=recipe,
            compilation=Compilation(request, partial(compile_context, model), progress.report),
            model=model,
            args=arguments,
            data_collator=keep_batch,
            train_dataset=train_data,
            eval_dataset=valid_data,
            compute_metrics=partial(_mean_terms, names=names),
            callbacks=[GumbelTemperature(), progress],
        )

    def _datasets(
        self, model: EcgForPreTraining, arguments: TrainingArguments
    ) -> list[PairDataset]:
        """Open the pairs that are trained on, and those that are measured."""
        request, data, recipe = self.request, self.data, self.request.recipe
        spec = data.manifest.spec
        pairs = [find_pairs(data, split, recipe.pairs) for split in ("train", "valid")]
        rows = np.unique(np.concatenate([part.rows.ravel() for part in pairs]))
        device = locate_signals(request, data, rows, arguments)
        return [
            PairDataset(
                data,
                part,
                n_channels=model.config.n_channels,
                n_tokens=model.count_tokens(spec.segment_samples),
                objective=recipe.objective,
                seed=request.seed,
                device=device,
            )
            for part in pairs
        ]

    def write_result(
        self, model: EcgForPreTraining, weights: dict[str, Tensor], log: Log, folder: Path
    ) -> None:
        """Write the best epoch's encoder and heads, and the run's record.

        The encoder is what fine-tuning starts from. The heads stand beside it under
        fairseq-signals' names, as an import keeps them.
        """
        request, data, recipe = self.request, self.data, self.request.recipe
        spec = data.manifest.spec
        heads = pretraining_class(recipe).select_heads(weights)
        of_encoder = {name: value for name, value in weights.items() if name.startswith("encoder.")}
        config = encoder_config(recipe, n_channels=spec.n_channels)
        where = str(work_folder_of(request))
        encoder = load_weights(lambda: encoder_class(recipe)(config), of_encoder, where=where)
        history = read_history(log, recipe.history_columns)
        best = best_row(history)
        record = run_record(
            request,
            data,
            history,
            **{f"valid_{name}": best[f"valid_{name}"] for name in recipe.objective.measured},
            splits={name: _count(data, name, recipe.pairs) for name in ("train", "valid")},
            n_parameters=sum(p.numel() for p in encoder.parameters()),
        )
        save_model(folder, encoder, spec, None)
        save_file(heads, folder / PRETRAINING_WEIGHTS, metadata={"format": "pt"})
        write_run(folder, request, data, history, record, stage=PRE_TRAINING, start=None)


def compile_context(model: EcgForPreTraining) -> None:
    """Compile what runs behind the convolutions, when it is first called.

    The heads stay eager: how many tokens are masked, and so their shapes, differ from batch to
    batch.
    """
    name = "contextualize_layers" if model.objective.contrastive_layer else "contextualize"
    compiled = torch.compile(getattr(model.encoder, name), dynamic=False)
    setattr(model.encoder, name, compiled)


def _count(data: TrainingData, split: str, kind: str) -> dict[str, int]:
    pairs = find_pairs(data, split, kind)
    records = data.manifest.index["record_id"].iloc[np.unique(pairs.rows)]
    return {
        "n_records": len(records),
        "n_unlabelled": int(records.isin(data.manifest.unlabelled["record_id"]).sum()),
        "n_patients": len(set(pairs.patients.tolist())),
        "n_pairs": len(pairs),
    }


def _mean_terms(outputs: Any, *, names: tuple[str, ...]) -> dict[str, float]:
    """Mean over pairs of each batch's terms."""
    means = np.asarray(outputs.predictions, np.float64).mean(axis=0)
    require_finite(means)
    return {f"valid_{name}": float(mean) for name, mean in zip(names, means, strict=True)}


class PretrainTrainer(EpochTrainer):
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
        # The last one counts batches.
        self._sums = torch.zeros(len(names) + 1, dtype=torch.float64, device=self.args.device)

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
        # A batch that is repeated, so that all processes have equally many, counts nothing.
        if model.training and math.isfinite(self.current_gradient_accumulation_steps):
            self._sums[:-1] += self._measure(output)
            self._sums[-1] += 1
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
        eagerly = self._compilation.of_whole_batches(inputs, "evaluation")
        with eagerly, torch.no_grad(), self.compute_loss_context_manager():
            output: PretrainingOutput = model(**inputs)
        patients = inputs["patients"]
        terms = self._measure(output).float().expand(len(patients), -1).contiguous()
        return output.loss.detach(), terms, patients

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the terms' means over the epoch's batches, on all GPUs, beside its loss."""
        if "loss" in logs:
            *sums, n_batches = self.accelerator.reduce(self._sums, "sum").tolist()
            logs |= {name: total / n_batches for name, total in zip(self._names, sums, strict=True)}
            self._sums.zero_()
        super().log(logs, start_time)

    def _measure(self, output: PretrainingOutput) -> Tensor:
        """Values of the measured fields, float64 ``[field]``."""
        return torch.stack([getattr(output, name).detach() for name in self._names]).double()


class GumbelTemperature(TrainerCallback):  # type: ignore[misc]
    """Sets each step's temperature by its number alone: a resumed run has an undisturbed one's."""

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: EcgForPreTraining,
        **_: Any,
    ) -> None:
        """Set the Gumbel temperature of the step."""
        model.set_step(state.global_step)


# transformers' own number for a configuration that says nothing of it; an encoder has no head.
_UNUSED_LABELS = 2


def pretraining_class(recipe: PretrainRecipe) -> type[EcgForPreTraining]:
    """Find the family's model with the heads of pre-training."""
    found: type[EcgForPreTraining] = find_object(FAMILIES[recipe.family].pretraining)
    return found


def encoder_class(recipe: PretrainRecipe) -> type[Any]:
    """Find the family's model without a head, which is what fine-tuning starts from.

    Raises
    ------
    SettingsError
        When the family says that it can be pre-trained and names no such model.
    """
    family = FAMILIES[recipe.family]
    if family.encoder_class is None:
        raise SettingsError(
            f"{family.title} names a model for pre-training and none without a head. Name one "
            "in the `encoder` of its ModelFamily."
        )
    return family.encoder_class


def encoder_config(recipe: PretrainRecipe, *, n_channels: int) -> Any:
    """Build the configuration of the encoder, of the recipe's size."""
    family = FAMILIES[recipe.family]
    return family.build_config(recipe.size, n_channels=n_channels, n_labels=_UNUSED_LABELS)
