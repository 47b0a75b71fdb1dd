"""The folder of a training run in progress: which of the Trainer's checkpoints are whole."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ecg_assets.errors import CheckpointError
from ecg_assets.finetune.history import read_history
from ecg_assets.models.checkpoint_files import WEIGHTS

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


def count_epochs(work: Path) -> int:
    """Count the epochs that were trained so far."""
    checkpoints = list_checkpoints(work)
    return len(read_history(checkpoints[-1].state["log_history"])) if checkpoints else 0


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
