"""Fine-tune: from a request to a finished checkpoint folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.finetune.run_once import Report, report_signals, run_once, work_folder_of
from ecg_assets.finetune.training_data import TrainingData, open_training_data
from ecg_assets.models.checkpoint_files import (
    MODEL_FILES,
    TRAINING_FILES,
    read_card,
    require_files,
)

OpenData = Callable[[FinetuneRequest], TrainingData]


def finetune(
    request: FinetuneRequest, report: Report, *, open_data: OpenData | None = None
) -> Path:
    """Train a request's model, or return its finished folder.

    A killed run leaves ``<output_folder>/.training-<fingerprint>``; the same request
    continues there from its last whole epoch and ends with the same weights, bit for bit
    on a CPU. The finished folder appears at once and complete.

    Parameters
    ----------
    request
        What to train.
    report
        Gets events as dicts of numbers and short strings; ``event`` is ``signals``,
        ``start``, ``step``, ``epoch``, ``finished`` or ``reused``. What it raises ends the
        training.
    open_data
        Reads the request's manifest and signals; `open_training_data` by default.

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
        When the pretrained model reads other channels than the manifest gives.
    SettingsError
        When the device or precision cannot be had.
    """
    return run_once(
        request, report, read_run=read_finished_run, train=partial(_train, open_data=open_data)
    )


def read_finished_run(folder: Path) -> dict[str, Any]:
    """Read run.json of a finished checkpoint; raise `CheckpointError` unless that is complete."""
    require_files(folder, MODEL_FILES + TRAINING_FILES)
    return read_card(folder).run


def _train(
    request: FinetuneRequest, report: Report, folder: Path, *, open_data: OpenData | None
) -> None:
    from ecg_assets.finetune.determinism import deterministic
    from ecg_assets.finetune.result import write_result
    from ecg_assets.finetune.train import build_model, train
    from ecg_assets.finetune.work_folder import count_epochs, prepare_work_folder

    work = work_folder_of(request)
    n_removed = prepare_work_folder(work)
    data = (
        open_data(request)
        if open_data
        else open_training_data(request, progress=report_signals(report))
    )
    data = replace(data, exclusive=request.recipe.objective == "exclusive")
    with deterministic(request.device):
        model = build_model(request, data)
        report(
            {
                "event": "start",
                "checkpoint_id": request.checkpoint_id,
                "n_train_records": len(data.rows("train")),
                "n_valid_records": len(data.rows("valid")),
                "n_parameters": sum(p.numel() for p in model.parameters()),
                "epochs_already_trained": count_epochs(work),
                "half_written_checkpoints_removed": n_removed,
            }
        )
        trainer = train(request, data, model, work, report)
        if trainer.is_world_process_zero():
            write_result(request, data, model, work, folder)
            shutil.rmtree(work)
        trainer.accelerator.wait_for_everyone()
