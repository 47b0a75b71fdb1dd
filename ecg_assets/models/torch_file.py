"""Read a file of torch.save without running anything that it contains."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
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


def read_torch_file(path: Path) -> Any:
    """Read a checkpoint file; no code in it is run, whoever made it.

    Tensors stay on disk until they are used: what is not asked for, such as an optimizer's
    state, costs nothing.

    Raises
    ------
    UnsafeCheckpoint
        When the file asks for anything but tensors, plain values and numpy numbers; the
        message names what it asks for.
    CheckpointError
        When the file is missing, cut off, or was not written by torch.save.
    """
    _require_torch_zip(path)
    return _load(path)


def _require_torch_zip(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"No checkpoint file at {path}. Check the path.")
    with path.open("rb") as file:
        starts_as_zip = file.read(2) == b"PK"
    if not starts_as_zip:
        raise CheckpointError(
            f"{path} is not a checkpoint that torch.save of torch 1.6 or later wrote (a zip "
            "archive). Give the checkpoint file itself, not e.g. a page that a failed download "
            "left."
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
            f"{path} is a zip archive but holds no torch checkpoint (no data.pkl). Give the "
            "checkpoint file itself."
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
        "could run code; nothing of it was run. Ask whoever made it for the file as the "
        "training wrote it."
    )
