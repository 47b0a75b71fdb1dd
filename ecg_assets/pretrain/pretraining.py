"""Pre-train: from a request to a finished checkpoint folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecg_assets.build import SignalCache, read_manifest
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.pretrain.request import PretrainRequest

Report = Callable[[dict[str, Any]], None]
OpenData = Callable[[PretrainRequest], TrainingData]


def pretrain(
    request: PretrainRequest,
    report: Report,
    *,
    open_data: Callable[[PretrainRequest], TrainingData] | None = None,
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
    from ecg_assets.pretrain.result import is_finished

    # With several GPUs there is a process for each; one speaks for all.
    report = report if os.environ.get("RANK", "0") == "0" else _stay_silent
    folder = request.output_folder / request.checkpoint_id
    if is_finished(request, folder):
        report({"event": "reused", "checkpoint_id": request.checkpoint_id})
    else:
        data = open_data(request) if open_data else _open(request, report)
        _train(request, report, data, folder)
        report({"event": "finished", "checkpoint_id": request.checkpoint_id})
    return folder


def _open(request: PretrainRequest, report: Report) -> TrainingData:
    manifest = read_manifest(request.manifest_folder)
    signals = SignalCache.open(
        manifest.index,
        request.shard_folder,
        manifest.spec,
        request.cache_folder,
        progress=lambda done, total: report(
            {"event": "signals", "records_read": done, "of_records": total}
        ),
    )
    return TrainingData(manifest, signals)


def _train(request: PretrainRequest, report: Report, data: TrainingData, folder: Path) -> None:
    from ecg_assets.finetune.determinism import deterministic
    from ecg_assets.finetune.work_folder import list_checkpoints, prepare_work_folder
    from ecg_assets.pretrain.history import read_history
    from ecg_assets.pretrain.result import write_result
    from ecg_assets.pretrain.train import build_model, train

    work = request.output_folder / f".training-{request.fingerprint}"
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


def _stay_silent(event: dict[str, Any]) -> None:
    """Take an event and do nothing."""
