"""Read a checkpoint file of fairseq-signals without running anything that it contains."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ecg_assets.errors import CheckpointError, UnsafeCheckpoint

_scalar: Any = np._core.multiarray.scalar  # type: ignore[attr-defined]
_array: Any = np._core.multiarray._reconstruct  # type: ignore[attr-defined]

_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

# What the metrics of a fine-tuned checkpoint need: numbers and arrays of numpy, under the
# names of numpy 1 and 2. Each only holds values.
_ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    (_array, "numpy.core.multiarray._reconstruct"),
    (_array, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in _NUMBERS),
]


@dataclass(frozen=True, eq=False)
class FairseqFile:
    """The content of a .pt file that fairseq-signals' trainer wrote.

    Attributes
    ----------
    path
        Where it was read.
    cfg
        Its configuration: sections ``model``, ``task``, ``criterion``, …
    model
        Weights by fairseq-signals' names; they stay on disk until they are used.
    optimizer_history
        One entry a training run: criterion, optimizer, schedule, number of updates.
    task_state, extra_state
        State of the task; position in the data, validation loss and meters.
    """

    path: Path
    cfg: dict[str, Any]
    model: dict[str, Tensor]
    optimizer_history: list[dict[str, Any]]
    task_state: dict[str, Any]
    extra_state: dict[str, Any]

    @property
    def is_finetuned(self) -> bool:
        """Whether it is a classifier; otherwise it is a pre-training model."""
        return any(name.startswith(("encoder.encoder.", "proj.")) for name in self.model)


def read_fairseq(path: Path) -> FairseqFile:
    """Read a checkpoint file; no code in it is run, whoever made it.

    Raises
    ------
    UnsafeCheckpoint
        When the file asks for anything but tensors, plain values and numpy numbers; the
        message names what it asks for.
    CheckpointError
        When the file is missing, cut off, or no checkpoint of fairseq-signals.
    """
    _require_torch_zip(path)
    content = _load(path)
    _require_layout(content, path)
    return FairseqFile(
        path=path,
        cfg=content["cfg"],
        model=dict(content["model"]),
        optimizer_history=list(content.get("optimizer_history") or []),
        task_state=dict(content.get("task_state") or {}),
        extra_state=dict(content.get("extra_state") or {}),
    )


def _require_torch_zip(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"No checkpoint file at {path}. Check the path.")
    with path.open("rb") as file:
        starts_as_zip = file.read(2) == b"PK"
    if not starts_as_zip:
        raise CheckpointError(
            f"{path} is not a checkpoint that torch.save of torch 1.6 or later wrote (a zip "
            "archive). Give the .pt file of fairseq-signals, not e.g. a page that a failed "
            "download left."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            names, damaged = archive.namelist(), archive.testzip()
    # A damaged directory also asks for unknown methods or names that are no text.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} is cut off or damaged: it starts as a zip archive of {path.stat().st_size} "
            f"bytes but cannot be read as one ({_short(error)}). Copy or download it again."
        ) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path} is damaged: {damaged} in it does not have the checksum that was stored with "
            "it. Copy or download it again."
        )
    if not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError(
            f"{path} is a zip archive but holds no torch checkpoint (no data.pkl). Give the .pt "
            "file itself."
        )


def _load(path: Path) -> Any:
    with safe_globals(_ALLOWED):
        try:
            asked_for = get_unsafe_globals_in_checkpoint(path)
            if not asked_for:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError as error:
            # Only the first line: the others advise to load the file all the same.
            raise _unsafe(path, str(error).strip().split("\n")[0]) from error
        except Exception as error:  # A damaged pickle raises nearly anything.
            raise CheckpointError(
                f"{path} cannot be read as a torch checkpoint ({_short(error)}). It is damaged "
                "or was not written by torch.save; copy or download it again."
            ) from error
    raise _unsafe(path, "it asks for " + ", ".join(sorted(asked_for)))


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]


def _unsafe(path: Path, reason: str) -> UnsafeCheckpoint:
    return UnsafeCheckpoint(
        f"{path} holds more than tensors, plain values and numpy numbers: {reason}. Reading it "
        "could run code; nothing of it was run. Ask whoever made it for the file as "
        "fairseq-signals' trainer wrote it."
    )


def _require_layout(content: Any, path: Path) -> None:
    found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
    sections = content.get("cfg") if isinstance(content, dict) else None
    weights = content.get("model") if isinstance(content, dict) else None
    is_configured = isinstance(sections, dict) and isinstance(sections.get("model"), dict)
    is_weights = isinstance(weights, dict) and all(isinstance(v, Tensor) for v in weights.values())
    if not is_configured or not is_weights or not weights:
        raise CheckpointError(
            f"{path} is no checkpoint of fairseq-signals: expected a dict with 'cfg' (which has "
            f"a section 'model') and 'model' (weights by name), found {found}. Give the file "
            "that its trainer wrote."
        )
