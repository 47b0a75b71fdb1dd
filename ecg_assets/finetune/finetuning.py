"""Fine-tune: from a request to a finished checkpoint folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ecg_assets.finetune.request import FinetuneRequest
from ecg_assets.finetune.training_data import OpenData, open_training_data

Report = Callable[[dict[str, Any]], None]


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
    from ecg_assets.finetune.result import is_finished

    # With several GPUs there is a process for each; one speaks for all.
    report = report if os.environ.get("RANK", "0") == "0" else _stay_silent
    folder = request.output_folder / request.checkpoint_id
    if is_finished(request, folder):
        report({"event": "reused", "checkpoint_id": request.checkpoint_id})
    else:
        open_data = open_data or partial(
            open_training_data,
            progress=lambda done, total: report(
                {"event": "signals", "records_read": done, "of_records": total}
            ),
        )
        _train(request, report, open_data, folder)
        report({"event": "finished", "checkpoint_id": request.checkpoint_id})
    return folder


def _train(request: FinetuneRequest, report: Report, open_data: OpenData, folder: Path) -> None:
    from ecg_assets.finetune.determinism import deterministic
    from ecg_assets.finetune.result import write_result
    from ecg_assets.finetune.train import build_model, train
    from ecg_assets.finetune.work_folder import count_epochs, prepare_work_folder

    work = request.output_folder / f".training-{request.fingerprint}"
    n_removed = prepare_work_folder(work)
    data = replace(open_data(request), exclusive=request.recipe.objective == "exclusive")
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


def _stay_silent(event: dict[str, Any]) -> None:
    """Take an event and do nothing."""
