"""A request trained, or its finished folder found: the same for every kind of training."""

from __future__ import annotations

import json
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from ecg_assets.errors import CheckpointError
from ecg_assets.models.checkpoint_folder import WEIGHTS
from ecg_assets.training.engine.history import read_history
from ecg_assets.training.engine.request import TrainingRequest

Report = Callable[[dict[str, Any]], None]
"""Takes an event: ``event`` names it, the other values are numbers or short strings."""
Request = TypeVar("Request", bound=TrainingRequest)


def run_once(
    request: Request,
    report: Report,
    *,
    read_run: Callable[[Path], Mapping[str, Any]],
    train: Callable[[Request, Report, Path], None],
) -> Path:
    """Train a request, unless its folder is finished; one process at a time.

    Parameters
    ----------
    report
        Gets what `train` reports, then ``finished``; or ``reused`` alone; ``waiting`` before,
        while another process trains the same request. With several GPUs there is a process
        for each; the first one speaks for all.
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
        When something else stands there; when another process trains the same request and
        this one has several GPUs, whose processes would not wait for each other so long.
    """
    if os.environ.get("RANK", "0") != "0":
        return _train_once(request, _stay_silent, read_run, train)
    with _alone(request, report):
        return _train_once(request, report, read_run, train)


def _train_once(
    request: Request,
    report: Report,
    read_run: Callable[[Path], Mapping[str, Any]],
    train: Callable[[Request, Report, Path], None],
) -> Path:
    folder = request.output_folder / request.checkpoint_id
    if folder.exists():
        _require_result_of(request, folder, read_run(folder))
        # Left where a run was killed between the result and its end.
        shutil.rmtree(work_folder_of(request), ignore_errors=True)
        report({"event": "reused", "checkpoint_id": request.checkpoint_id})
    else:
        train(request, report, folder)
        report({"event": "finished", "checkpoint_id": request.checkpoint_id})
    return folder


@contextmanager
def _alone(request: TrainingRequest, report: Report) -> Iterator[None]:
    """Hold the request's lock, which ends with the process; wait for who holds it."""
    path = work_folder_of(request).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        if count_processes() > 1:
            raise CheckpointError(
                f"Another process trains {request.checkpoint_id} in {request.output_folder}. "
                "Start this one again when it has ended: it takes the other's result."
            ) from None
        report({"event": "waiting", "for_another_process_that_trains": request.checkpoint_id})
        lock.acquire()
    try:
        yield
    finally:
        if (request.output_folder / request.checkpoint_id).exists():
            # Whoever waits for it, or comes later, finds the result.
            path.unlink(missing_ok=True)
        lock.release()


def count_processes() -> int:
    """Count the processes that train, as torch.distributed.run says it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def work_folder_of(request: TrainingRequest) -> Path:
    """Where a request is trained: what a killed run leaves stands there."""
    return request.output_folder / f".training-{request.request_id}"


def describe_resumption(request: TrainingRequest, *, resumes: bool = True) -> str:
    """Say where a training that was cancelled goes on.

    Parameters
    ----------
    resumes
        Whether its trainer can go on within a request.
    """
    work = work_folder_of(request)
    n_epochs = len(read_history(read_log(work))) if resumes else 0
    where = (
        f"it goes on after epoch {n_epochs} of {request.recipe.epochs}, which is kept in {work}"
        if n_epochs
        else "it starts from the beginning"
        + (", since no epoch was finished" if resumes else ", as its trainer does")
    )
    return f"The training was cancelled. Run the same asset with the same configuration: {where}."


SECONDS_BETWEEN_LINES = 10.0
"""How often what takes long is reported."""


def report_signals(report: Report) -> Callable[[int, int], None]:
    """Report how many recordings' signals were read, as `open_training_data` tells it.

    All of them, and before that at most once in 10 s.
    """
    reported = time.monotonic()

    def read(done: int, total: int) -> None:
        nonlocal reported
        if done < total and time.monotonic() - reported < SECONDS_BETWEEN_LINES:
            return
        reported = time.monotonic()
        report({"event": "signals", "records_read": done, "of_records": total})

    return read


def _require_result_of(request: TrainingRequest, folder: Path, run: Mapping[str, Any]) -> None:
    found = run.get("request_id", run.get("request_fingerprint"))  # the name before 0.2
    if found != request.request_id:
        raise CheckpointError(
            f"Checkpoint {folder} is of request {str(found)[:12]}, expected "
            f"{request.request_id[:12]}. Move it away and train again."
        )


def _stay_silent(event: dict[str, Any]) -> None:
    """Take an event and do nothing."""


# The folder of a training run in progress: which of the Trainer's checkpoints are whole.


STATE = "trainer_state.json"
_REQUIRED = ("optimizer.pt", "scheduler.pt", "rng_state*.pth")


@dataclass(frozen=True)
class EpochCheckpoint:
    """A whole checkpoint of the Trainer.

    Attributes
    ----------
    folder
        ``checkpoint-<step>``.
    step
        Optimizer steps done.
    state
        Content of trainer_state.json.
    """

    folder: Path
    step: int
    state: dict[str, Any]


def list_checkpoints(work: Path) -> list[EpochCheckpoint]:
    """Whole checkpoints by step; half-written ones are left out."""
    found = [_read_checkpoint(folder) for folder in work.glob("checkpoint-*")]
    return sorted((item for item in found if item is not None), key=lambda item: item.step)


def read_log(work: Path) -> list[dict[str, Any]]:
    """Read the Trainer's log of what was trained so far, `TrainerState.log_history`."""
    checkpoints = list_checkpoints(work)
    log: list[dict[str, Any]] = checkpoints[-1].state["log_history"] if checkpoints else []
    return log


def prepare_work_folder(work: Path) -> int:
    """Make the folder, or delete what a killed run left half-written in it.

    Returns
    -------
    int
        Number of half-written checkpoints.
    """
    work.mkdir(parents=True, exist_ok=True)
    whole = {checkpoint.folder for checkpoint in list_checkpoints(work)}
    broken = [folder for folder in work.glob("checkpoint-*") if folder not in whole]
    for folder in broken:
        # On several GPUs each process cleans up; whoever comes late finds nothing.
        shutil.rmtree(folder, ignore_errors=True)
    return len(broken)


def best_checkpoint(work: Path) -> EpochCheckpoint:
    """Find the checkpoint with the lowest validation loss, as the newest one remembers it.

    Raises
    ------
    CheckpointError
        When there is none, or its files are gone.
    """
    checkpoints = list_checkpoints(work)
    best_step = checkpoints[-1].state.get("best_global_step") if checkpoints else None
    for checkpoint in checkpoints:
        if checkpoint.step == best_step:
            return checkpoint
    raise CheckpointError(
        f"Training folder {work} should hold checkpoint-{best_step}, the best epoch, but has "
        f"steps {[checkpoint.step for checkpoint in checkpoints]}. Remove it and train again."
    )


def _read_checkpoint(folder: Path) -> EpochCheckpoint | None:
    """Read a checkpoint, or None when any of its files is missing or cut short.

    The Trainer writes the weights first and its state last. safetensors compares the
    header with the file's length, and a zip's directory stands at its end.
    """
    from safetensors import SafetensorError, safe_open

    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        with safe_open(folder / WEIGHTS, framework="numpy") as weights:
            n_weights = len(weights.keys())
        step = int(folder.name.removeprefix("checkpoint-"))
    except (OSError, ValueError, SafetensorError):
        return None
    # Optimizer, schedule and generators are zip files of torch.save.
    zips = [path for pattern in ("*.pt", "*.pth") for path in folder.glob(pattern)]
    is_whole = (
        n_weights > 0
        and state.get("global_step") == step
        and all(any(folder.glob(pattern)) for pattern in _REQUIRED)
        and all(zipfile.is_zipfile(path) for path in zips)
    )
    return EpochCheckpoint(folder, step, state) if is_whole else None
