"""The finished checkpoint folder of a training by fairseq-signals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ecg_assets.finetune.curves import draw_curves
from ecg_assets.finetune.fairseq_log import best_epoch
from ecg_assets.finetune.fairseq_request import FairseqRequest
from ecg_assets.finetune.history import History, history_frame
from ecg_assets.finetune.run_record import count_parameters, run_record
from ecg_assets.finetune.training_card import training_card
from ecg_assets.finetune.training_data import TrainingData, open_training_data
from ecg_assets.finetune.validate import Validation, validate_logits, weighted_loss
from ecg_assets.models.checkpoint import TrainedModel, load_trained
from ecg_assets.models.checkpoint_files import (
    CURVES,
    HISTORY,
    MODEL_CARD,
    RUN,
    VALIDATION_PREDICTIONS,
)
from ecg_assets.models.ecg_fm.fairseq_import import import_fairseq
from ecg_assets.models.families import family_of
from ecg_assets.models.inference import predict_logits
from ecg_assets.storage import replace_folder


def write_fairseq_result(
    request: FairseqRequest, history: History, best: Path, work: Path, folder: Path
) -> None:
    """Put the converted checkpoint, its validation scores and the run's record into `folder`.

    The scores are made here, from the stored signals and not the .mat files, and loss and
    AUROC with them, as those of every other checkpoint are. What fairseq-signals logged
    stays in history.csv.

    Parameters
    ----------
    best
        The .pt file to take.
    work
        Folder for what is made on the way.
    """
    data = open_training_data(request)
    spec, vocabulary = data.manifest.spec, data.manifest.vocabulary
    imported = import_fairseq(
        best, work / "imported", spec=spec, vocabulary=vocabulary, pretrained=request.pretrained
    )
    trained = load_trained(imported)
    rows = data.rows("valid")
    logits = predict_logits(
        trained,
        data.manifest,
        data.signals,
        rows,
        device=request.device,
        precision=request.precision,
    )
    validation = validate_logits(data, rows, logits)
    targets = np.repeat(data.manifest.targets[rows], data.n_segments(rows), axis=0)
    loss = weighted_loss(logits, targets, np.asarray(request.options.pos_weight))
    record = _record(request, data, trained, history, validation, loss=loss)
    frame = history_frame(history)
    with replace_folder(folder) as temporary:
        shutil.copytree(imported, temporary, dirs_exist_ok=True)
        frame.to_csv(temporary / HISTORY, index=False)
        draw_curves(frame, temporary / CURVES)
        pq.write_table(validation.predictions.to_table(), temporary / VALIDATION_PREDICTIONS)
        (temporary / RUN).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        card = training_card(
            record, spec, vocabulary, family_of(trained.model), has_pretraining=True
        )
        (temporary / MODEL_CARD).write_text(card, encoding="utf-8")


def _record(
    request: FairseqRequest,
    data: TrainingData,
    trained: TrainedModel,
    history: History,
    validation: Validation,
    *,
    loss: float,
) -> dict[str, Any]:
    """Record the run as a native one is, and what is fairseq-signals' own.

    `loss` is that of the converted model with the weights of the call: where every shard is
    exported it must be the logged one to three decimals in base 2.
    """
    if request.options.freeze_convolutions:
        trained.model.freeze_convolutions()
    best = best_epoch(history)
    validated = [row for row in history if row["valid_loss"] is not None]
    record = run_record(request, data, count_parameters(trained.model), validated, validation)
    auroc = validation.macro_auroc
    return {
        **record,
        "valid_loss": validation.loss,
        "valid_macro_auroc": None if np.isnan(auroc) else auroc,
        "test_loss": None,
        "test_macro_auroc": None,
        "best_epoch": best["epoch"],
        "epochs_trained": history[-1]["epoch"],
        "fairseq_signals": {
            "versions": request.install.versions,
            "gpus": list(request.install.gpus),
            "n_segments": _count_segments(request.data_folder),
            "logged_valid_loss": best["valid_loss"],
            "valid_loss_of_converted_model": loss,
            "history": "as logged: AUROC of segments; losses are logged in base 2 and are given "
            "in natural logarithm here",
        },
    }


def _count_segments(folder: Path) -> dict[str, int]:
    """Lines of each .tsv without its first, which names the root."""
    counts = {}
    for path in sorted(folder.glob("*.tsv")):
        with path.open(encoding="utf-8") as lines:
            counts[path.stem] = sum(1 for line in lines if line.strip()) - 1
    return counts
