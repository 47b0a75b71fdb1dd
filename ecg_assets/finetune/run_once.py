"""A request trained, or its finished folder found: the same for every kind of training."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ecg_assets.errors import CheckpointError
from ecg_assets.finetune.training_request import TrainingRequest

Report = Callable[[dict[str, Any]], None]
Request = TypeVar("Request", bound=TrainingRequest)


def run_once(
    request: Request,
    report: Report,
    *,
    read_run: Callable[[Path], Mapping[str, Any]],
    train: Callable[[Request, Report, Path], None],
) -> Path:
    """Train a request, unless its folder is finished.

    Parameters
    ----------
    report
        Gets what `train` reports, then ``finished``; or ``reused`` alone. With several GPUs
        there is a process for each; the first one speaks for all.
    read_run
        Reads run.json of a finished folder; raises `CheckpointError` unless that is complete.
    train
        Leaves the finished folder, its last argument.

    Returns
    -------
    Path
        ``<output_folder>/<checkpoint_id>``.

    Raises
    ------
    CheckpointError
        When something else stands there.
    """
    report = report if os.environ.get("RANK", "0") == "0" else _stay_silent
    folder = request.output_folder / request.checkpoint_id
    if folder.exists():
        _require_result_of(request, folder, read_run(folder))
        report({"event": "reused", "checkpoint_id": request.checkpoint_id})
    else:
        train(request, report, folder)
        report({"event": "finished", "checkpoint_id": request.checkpoint_id})
    return folder


def work_folder_of(request: TrainingRequest) -> Path:
    """Where a request is trained: what a killed run leaves stands there."""
    return request.output_folder / f".training-{request.fingerprint}"


def report_signals(report: Report) -> Callable[[int, int], None]:
    """Report how many recordings' signals were read, as `open_training_data` tells it."""
    return lambda done, total: report(
        {"event": "signals", "records_read": done, "of_records": total}
    )


def _require_result_of(request: TrainingRequest, folder: Path, run: Mapping[str, Any]) -> None:
    found = run.get("request_fingerprint")
    if found != request.fingerprint:
        raise CheckpointError(
            f"Checkpoint {folder} is of request {str(found)[:12]}, expected "
            f"{request.fingerprint[:12]}. Move it away and train again."
        )


def _stay_silent(event: dict[str, Any]) -> None:
    """Take an event and do nothing."""
