"""What run.json says of a training run, and the files beside it."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

from ecg_assets.lineage import git_commit, package_versions
from ecg_assets.models.checkpoint_folder import (
    CIRCUMSTANCES,
    CURVES,
    HISTORY,
    NAMED_CIRCUMSTANCES,
    RUN,
)
from ecg_assets.models.seen_patients import SeenPatients
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.history import History, best_row, draw_curves, history_frame
from ecg_assets.training.engine.request import TrainingRequest
from ecg_assets.training.engine.run import count_processes


def run_record(
    request: TrainingRequest, data: TrainingData, history: History, **others: Any
) -> dict[str, Any]:
    """Collect what a run was asked for, made from, and came to; JSON values without paths.

    Parameters
    ----------
    **others
        What one kind of training has to say besides.
    """
    return {
        "checkpoint_id": request.checkpoint_id,
        "request": request.identity,
        "request_id": request.request_id,
        "inputs": dict(request.inputs),
        "trained_on": dict(data.manifest.made_with),
        "seed": request.seed,
        "optimizer": request.recipe.optimizer,
        "best_epoch": best_row(history)["epoch"],
        "epochs_trained": history[-1]["epoch"],
        **others,
        "machine": {**request.machine, "n_processes": count_processes()},
        "seconds": sum(row["seconds"] for row in history),
        "code": {"git_commit": git_commit(), "versions": package_versions()},
        "hardware": describe_hardware(),
        NAMED_CIRCUMSTANCES: list(CIRCUMSTANCES),
    }


def write_run(
    folder: Path,
    request: TrainingRequest,
    data: TrainingData,
    history: History,
    record: dict[str, Any],
    *,
    stage: str,
    start: Path | None,
) -> None:
    """Write what each kind of training leaves beside its model.

    Parameters
    ----------
    folder
        Gets run.json, history.csv, curves.png and the patients that were seen.
    record
        Content of run.json.
    stage
        Kind of training, as `SeenPatients.of_training` names it.
    start
        Checkpoint that it started from.
    """
    frame = history_frame(history, request.recipe.history_columns)
    frame.to_csv(folder / HISTORY, index=False)
    draw_curves(frame, folder / CURVES)
    (folder / RUN).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    SeenPatients.of_training(request.checkpoint_id, stage, data.manifest, start=start).write(folder)


def describe_hardware() -> dict[str, Any]:
    """Processors and GPUs of this machine, as JSON values."""
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "n_cpus": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "gpus": [gpu.name for gpu in gpus],
        "gpu_memory_gib": [round(gpu.total_memory / 2**30, 1) for gpu in gpus],
        "cuda": torch.version.cuda,
    }
