"""Fine-tune: from a request to a finished checkpoint folder."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainingArguments, set_seed
from transformers.integrations import MLflowCallback, TensorBoardCallback

from ecg_assets.errors import SettingsError
from ecg_assets.models.checkpoint_folder import MODEL_FILES, TRAINING_FILES, read_card
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.device import choose_device
from ecg_assets.training.engine.compilation import Compilation
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.run import Report
from ecg_assets.training.engine.segments import Batch, SegmentDataset, keep_batch
from ecg_assets.training.engine.trainer_arguments import epoch_arguments, locate_signals
from ecg_assets.training.engine.training import (
    EpochTrainer,
    EpochTraining,
    Log,
    Progress,
    require_finite,
    train_request,
)
from ecg_assets.training.finetune.augmentation import AugmentedSegments
from ecg_assets.training.finetune.methods import (
    FeatureDataset,
    HeadFirst,
    choose_trained_weights,
    find_features,
    require_peft,
    trained_module,
)
from ecg_assets.training.finetune.request import PRETRAINED_INPUT, FinetuneRequest
from ecg_assets.training.finetune.result import write_result
from ecg_assets.training.finetune.starting_model import pretrained_model, random_model
from ecg_assets.training.finetune.trained_weights import (
    TrainedWeights,
    count_trained_weights,
    factors_of_rates,
)
from ecg_assets.training.finetune.validate import KeepConfusion, validate_logits

OpenData = Callable[[FinetuneRequest], TrainingData]
Evaluated = list[tuple[str, NDArray[np.int64]]]
"""Name and rows of each split that is measured after each epoch."""
_EVALUATION_BATCH = 256
"""Segments in one forward pass of the validation."""


def finetune(
    request: FinetuneRequest, report: Report, *, open_data: OpenData | None = None
) -> Path:
    """Train a request's model, or return its finished folder, as `train_request` says."""
    return train_request(FinetuneTraining, request, report, open_data)


class FinetuneTraining(EpochTraining[FinetuneRequest, EcgClassifier]):
    """A classifier trained on labels, by the recipe's method."""

    files = MODEL_FILES + TRAINING_FILES

    @classmethod
    def read_run(cls, folder: Path) -> Mapping[str, Any]:
        """Read run.json; raise `CheckpointError` unless all else is there and can be read."""
        return super().read_run(folder) and read_card(folder).run

    @classmethod
    def require_possible(cls, request: FinetuneRequest) -> None:
        """Refuse, before signals are read, what this machine cannot do."""
        super().require_possible(request)
        _use_tf32(request, choose_device(request.device))
        _tracking_module(request.report_to)
        if request.recipe.method == "lora":
            require_peft()

    def build_model(self) -> EcgClassifier:
        """Build the model that training starts from; its random part depends on the seed alone."""
        request, manifest = self.request, self.data.manifest
        set_seed(request.seed)
        if request.pretrained is None:
            model = random_model(request.recipe, manifest.spec, manifest.vocabulary)
        else:
            model = pretrained_model(
                request.recipe,
                manifest.spec,
                manifest.vocabulary,
                request.pretrained,
                fingerprint=request.inputs[PRETRAINED_INPUT],
            )
        if self.data.regression is not None:
            model.config.update(self.data.regression.to_config())
        choose_trained_weights(model, request.recipe)
        return model

    def build_trainer(self, model: EcgClassifier, work: Path, progress: Progress) -> EpochTrainer:
        """Build the trainer, which measures loss and AUROC of all splits that are evaluated."""
        recipe = self.request.recipe
        arguments = self._arguments(work)
        evaluated = self.data.evaluated_rows(with_test=recipe.reports_test)
        train_data, evaluation_data = self._datasets(evaluated, model, arguments)
        trained = trained_module(model, recipe)
        confusion, self._weights = KeepConfusion(), TrainedWeights(model, recipe)
        callbacks = [confusion, progress, self._weights, *tracking_callbacks(self.request)]
        if recipe.method == "frozen-then-unfrozen":
            callbacks.append(HeadFirst(model, recipe.head_epochs))
        self._trainer = EpochTrainer(
            recipe=recipe,
            rate_factors=factors_of_rates(model, recipe) if recipe.has_layer_rates else None,
            compilation=Compilation(
                self.request, partial(trained.compile, dynamic=False), progress.report
            ),
            model=trained,
            args=arguments,
            data_collator=keep_batch,
            train_dataset=train_data,
            eval_dataset=evaluation_data,
            compute_metrics=partial(self._measure, evaluated=evaluated, confusion=confusion),
            callbacks=callbacks,
        )
        return self._trainer

    def write_result(
        self, model: EcgClassifier, weights: dict[str, Tensor], log: Log, folder: Path
    ) -> None:
        """Write the best epoch's model, its validation scores and the run's record."""
        # A run that was killed after its last epoch comes here without a step.
        counted = self._weights.counted or count_trained_weights(
            model, self.request.recipe, self._trainer.create_optimizer().param_groups
        )
        trained_module(model, self.request.recipe).load_state_dict(weights, strict=True)
        write_result(self.request, self.data, model, log, folder, counted=counted)

    def _arguments(self, work: Path) -> TrainingArguments:
        request, device = self.request, choose_device(self.request.device)
        return epoch_arguments(
            request,
            work,
            run_name=request.checkpoint_id,
            per_device_eval_batch_size=_EVALUATION_BATCH,
            tf32=_use_tf32(request, device),
            # The encoder has no gradients while the head is trained alone.
            ddp_find_unused_parameters=request.recipe.method == "frozen-then-unfrozen",
        )

    def _datasets(
        self, evaluated: Evaluated, model: EcgClassifier, arguments: TrainingArguments
    ) -> list[Dataset[Batch]]:
        """Open what is trained on, and all that is measured as one: split after split."""
        request, data, place = self.request, self.data, arguments.device
        splits = [data.rows("train"), np.concatenate([rows for _, rows in evaluated])]
        device = locate_signals(request, data, np.concatenate(splits), arguments)
        opened = partial(SegmentDataset, data, n_channels=model.config.n_channels, device=device)
        if request.recipe.method == "linear-probe":
            rows = np.unique(np.concatenate(splits))
            features = find_features(
                model, data, rows, partial(opened, rows), request=request, device=place
            )
            return [FeatureDataset(data, part, features, rows) for part in splits]
        segments = [opened(rows) for rows in splits]
        if request.recipe.augments:
            training, evaluation = segments
            spec = data.manifest.spec
            return [AugmentedSegments(training, request.recipe, spec, request.seed), evaluation]
        return [*segments]

    def _measure(
        self, outputs: Any, *, evaluated: Evaluated, confusion: KeepConfusion
    ) -> dict[str, float]:
        require_finite(outputs.predictions)
        ends = np.cumsum([self.data.n_segments(rows).sum() for _, rows in evaluated])
        metrics: dict[str, float] = {}
        parts = np.split(outputs.predictions, ends[:-1])
        for (name, rows), logits in zip(evaluated, parts, strict=True):
            result = validate_logits(self.data, rows, logits)
            metrics[f"{name}_loss"] = result.loss
            if self.data.regression is None:
                metrics[f"{name}_macro_auroc"] = result.macro_auroc
            else:
                metrics[f"{name}_r2"] = result.r2
            if name == "valid" and result.confusion is not None:
                metrics["valid_accuracy"] = result.accuracy
                confusion.keep(result.confusion)
        return metrics


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


_MODULES = {"tensorboard": "torch.utils.tensorboard", "mlflow": "mlflow"}


def tracking_callbacks(request: FinetuneRequest) -> list[TrainerCallback]:
    """Build the Trainer's callbacks of the request's `report_to`.

    TensorBoard's files stand in ``<output_folder>/.tensorboard/<checkpoint_id>``. MLflow
    takes the server from MLFLOW_TRACKING_URI.

    Raises
    ------
    SettingsError
        When the package is not installed.
    """
    module = _tracking_module(request.report_to)
    if module is None:
        return []
    if request.report_to == "mlflow":
        return [MLflowCallback()]
    # The training folder, where the Trainer would log to, is removed at the end.
    folder = request.output_folder / ".tensorboard" / request.checkpoint_id
    is_main = os.environ.get("RANK", "0") == "0"
    return [TensorBoardCallback(module.SummaryWriter(str(folder)))] if is_main else []


def _tracking_module(name: str) -> Any:
    if name == "none":
        return None
    try:
        return importlib.import_module(_MODULES[name])
    except ImportError as error:
        raise SettingsError(
            f"report_to is {name!r}, but that package is not installed ({error}). "
            f"Install it (pip install {name}), or set report_to=none."
        ) from error
