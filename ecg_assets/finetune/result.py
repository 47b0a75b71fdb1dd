"""The finished checkpoint folder, put together from a training folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ecg_assets.finetune.adapters import merge_adapters, save_adapters
from ecg_assets.finetune.class_reports import class_reports, read_confusions
from ecg_assets.finetune.curves import draw_curves
from ecg_assets.finetune.history import History, best_row, history_frame, read_history
from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.finetune.run_record import count_parameters, run_record
from ecg_assets.finetune.trained_weights import trained_module
from ecg_assets.finetune.training_card import training_card
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.finetune.validate import Validation, validate_logits
from ecg_assets.finetune.work_folder import best_checkpoint, list_checkpoints
from ecg_assets.models.checkpoint import TrainedModel, save_trained
from ecg_assets.models.checkpoint_files import (
    CLASS_REPORTS,
    CONFUSION_MATRIX,
    CURVES,
    HISTORY,
    MODEL_CARD,
    RUN,
    VALIDATION_PREDICTIONS,
    WEIGHTS,
)
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.confusion_figure import draw_confusion_matrix
from ecg_assets.models.families import family_of
from ecg_assets.models.inference import predict_logits
from ecg_assets.storage import replace_folder

ADAPTER = "adapter"
"""Folder of a LoRA run's adapters, inside the checkpoint's."""


def write_result(
    request: FinetuneRequest,
    data: TrainingData,
    model: EcgClassifier,
    work: Path,
    folder: Path,
) -> None:
    """Put the best epoch's model, its validation scores and the run's record into `folder`.

    Parameters
    ----------
    model
        Of the right shape; it gets the best epoch's weights.
    work
        Training folder; it has all that is needed, in whichever process training ended.
    """
    from safetensors.torch import load_file

    best = best_checkpoint(work)
    weights = load_file(best.folder / WEIGHTS)
    trained_module(model, request.recipe).load_state_dict(weights, strict=True)
    log = list_checkpoints(work)[-1].state["log_history"]
    sizes = count_parameters(model)
    with replace_folder(folder) as temporary:
        if request.recipe.method == "lora":
            save_adapters(model, temporary / ADAPTER)
            merge_adapters(model)
        trained = TrainedModel(model.eval(), data.manifest.spec, data.manifest.vocabulary)
        validation = _validate(request, data, trained)
        save_trained(temporary, model.cpu(), trained.spec, trained.vocabulary)
        history = _write_epochs(log, trained.vocabulary.names, temporary)
        pq.write_table(validation.predictions.to_table(), temporary / VALIDATION_PREDICTIONS)
        record = run_record(request, data, sizes, history, validation)
        (temporary / RUN).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        has_pretraining = request.pretrained is not None
        card = training_card(
            record,
            trained.spec,
            trained.vocabulary,
            family_of(model),
            has_pretraining=has_pretraining,
        )
        (temporary / MODEL_CARD).write_text(card, encoding="utf-8")


def _write_epochs(
    log: Sequence[Mapping[str, Any]], class_names: Sequence[str], folder: Path
) -> History:
    """Write what each epoch gave, with reports where classes exclude one another."""
    history = read_history(log)
    frame = history_frame(history)
    frame.to_csv(folder / HISTORY, index=False)
    draw_curves(frame, folder / CURVES)
    confusions, best = read_confusions(log, class_names), best_row(history)["epoch"]
    if confusions:
        text = json.dumps(class_reports(confusions), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / CLASS_REPORTS).write_text(text + "\n", encoding="utf-8")
    if best in confusions:
        (folder / CONFUSION_MATRIX).write_bytes(draw_confusion_matrix(confusions[best]))
    return history


def _validate(request: FinetuneRequest, data: TrainingData, trained: TrainedModel) -> Validation:
    rows = data.rows("valid")
    logits = predict_logits(
        trained,
        data.manifest,
        data.signals,
        rows,
        device=request.device,
        precision=request.precision,
    )
    return validate_logits(data, rows, logits)
