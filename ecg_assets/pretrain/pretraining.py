"""Pre-train: from a request to a finished checkpoint folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ecg_assets.finetune.run_once import Report, report_signals, run_once, work_folder_of
from ecg_assets.finetune.training_data import TrainingData, open_training_data
from ecg_assets.models.checkpoint_files import (
    CONFIG,
    CURVES,
    HISTORY,
    PRETRAINING_WEIGHTS,
    RUN,
    SIGNAL_SPEC,
    WEIGHTS,
    read_json,
    require_files,
)
from ecg_assets.pretrain.request import PretrainRequest

FILES = (WEIGHTS, PRETRAINING_WEIGHTS, CONFIG, SIGNAL_SPEC, RUN, HISTORY, CURVES)

OpenData = Callable[[PretrainRequest], TrainingData]


def pretrain(
    request: PretrainRequest,
    report: Report,
    *,
    open_data: OpenData | None = None,
) -> Path:
    """Pre-train a request's encoder, or return its finished folder.

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
        Reads the request's manifest and signals; from its folders by default.

    Returns
    -------
    Path
        ``<output_folder>/<checkpoint_id>``.

    Raises
    ------
    SchemaError
        When no recording to train on or to validate with has two segments.
    SpecMismatch
        When the signals are not as the manifest says.
    SettingsError
        When the device or precision cannot be had, or leads of one-channel signals are to
        be blanked.
    """
    return run_once(
        request, report, read_run=_read_finished_run, train=partial(_train, open_data=open_data)
    )


def _read_finished_run(folder: Path) -> dict[str, Any]:
    """Read run.json of a finished encoder; raise `CheckpointError` unless that is complete."""
    require_files(folder, FILES)
    return read_json(folder / RUN)


def _train(
    request: PretrainRequest, report: Report, folder: Path, *, open_data: OpenData | None
) -> None:
    from ecg_assets.finetune.determinism import deterministic
    from ecg_assets.finetune.work_folder import list_checkpoints, prepare_work_folder
    from ecg_assets.pretrain.history import read_history
    from ecg_assets.pretrain.result import write_result
    from ecg_assets.pretrain.train import build_model, train

    data = (
        open_data(request)
        if open_data
        else open_training_data(request, progress=report_signals(report))
    )
    work = work_folder_of(request)
    n_removed = prepare_work_folder(work)
    checkpoints = list_checkpoints(work)
    log = checkpoints[-1].state["log_history"] if checkpoints else []
    with deterministic(request.device):
        model = build_model(request, data.manifest.spec)
        report(
            {
                "event": "start",
                "checkpoint_id": request.checkpoint_id,
                "n_train_records": len(data.rows("train")),
                "n_valid_records": len(data.rows("valid")),
                "n_parameters": sum(p.numel() for p in model.parameters()),
                "epochs_already_trained": len(read_history(log)),
                "half_written_checkpoints_removed": n_removed,
            }
        )
        trainer = train(request, data, model, work, report)
        if trainer.is_world_process_zero():
            write_result(request, data, work, folder)
            shutil.rmtree(work)
        trainer.accelerator.wait_for_everyone()
