"""Read a file of torch.save without running anything that it contains."""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from ecg_assets.errors import CheckpointError, UnsafeCheckpoint
from ecg_assets.models.checkpoint_folder import require_readable_size
from ecg_assets.models.families import FAMILIES

_scalar: Any = np._core.multiarray.scalar  # type: ignore[attr-defined]
_array: Any = np._core.multiarray._reconstruct  # type: ignore[attr-defined]

_WRAPPERS = ("module.", "_orig_mod.", "model.")

_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")

_MOST_STEPS, _MOST_PICKLE_BYTES = 1 << 22, 1 << 28
"""Of the pickle that names a file's tensors and holds settings, counters, scores of an epoch."""

_MOST_VALUES = 1 << 19
"""Of what comes out of it, each counted as often as it is referred to."""

# What the metrics of a fine-tuned checkpoint need: numbers and arrays of numpy, under the
# names of numpy 1 and 2. Each only holds values.
_ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
    (_array, "numpy.core.multiarray._reconstruct"),
    (_array, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    defaultdict,  # OmegaConf's settings have one; its values are checked as all others
    *(type(np.dtype(kind)) for kind in (*_NUMBERS, "U1", "S1")),
]


class StoredObject:
    """An object of a file, of a class that a family names (`PublishedFiles.classes`).

    The class is not imported, and nothing is called: it has attributes alone.
    """


def read_torch_file(path: Path) -> Any:
    """Read a checkpoint file; no code in it is run, whoever made it.

    Tensors stay on disk until they are used: what is not asked for, such as an optimizer's
    state, costs nothing. Objects of classes that a family names are mappings of their attributes.

    Raises
    ------
    UnsafeCheckpoint
        When the file asks for anything but tensors, plain values and numpy numbers; the
        message names what it asks for.
    CheckpointError
        When the file is missing, cut off, or was not written by torch.save.
    """
    _require_torch_zip(path)
    content = _load(path)
    _require_bounded_content(content, path)
    return without_wrappers(_as_mappings(content))


def _as_mappings(content: Any) -> Any:
    """Turn the stored objects of a content into mappings of their attributes."""
    if not isinstance(content, dict):
        return content
    return {
        name: vars(value) if isinstance(value, StoredObject) else value
        for name, value in content.items()
    }


def without_wrappers(content: Any) -> Any:
    """Take the name of a wrapper off the weights, in the content or one level below.

    `torch.nn.DataParallel`, `torch.compile` and a module that holds a model as ``model`` put
    their name before that of every weight.

    >>> without_wrappers({"state_dict": {"module.a": torch.zeros(1), "module.b": torch.ones(1)}})
    {'state_dict': {'a': tensor([0.]), 'b': tensor([1.])}}
    """
    if not isinstance(content, dict):
        return content
    if any(isinstance(value, Tensor) for value in content.values()):
        return _without_wrapper(content)
    return {
        key: _without_wrapper(value) if isinstance(value, dict) else value
        for key, value in content.items()
    }


def _without_wrapper(weights: dict[Any, Any]) -> dict[Any, Any]:
    for wrapper in _WRAPPERS:
        if weights and all(isinstance(k, str) and k.startswith(wrapper) for k in weights):
            plain = {name.removeprefix(wrapper): value for name, value in weights.items()}
            return _without_wrapper(plain)
    return weights


def _require_torch_zip(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"No checkpoint file at {path}. Check the path.")
    require_readable_size(path)
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
            _require_bounded_archive(archive, path)
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


def _require_bounded_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse what unpacks to more than the file has, or to more objects than a checkpoint holds."""
    entries = archive.infolist()
    packed = [one.filename for one in entries if one.compress_type != zipfile.ZIP_STORED]
    n_bytes = sum(entry.file_size for entry in entries)
    if packed or n_bytes > path.stat().st_size:
        found = f"{packed[0][:80]!r} is packed" if packed else f"it unpacks to {n_bytes} bytes"
        raise CheckpointError(
            f"{path} was not written by torch.save, which stores without compression: {found}. "
            "Give the file as the training wrote it."
        )
    for entry in entries:
        if entry.filename.endswith("/data.pkl"):
            _require_few_objects(entry, archive, path)


def _require_few_objects(entry: zipfile.ZipInfo, archive: zipfile.ZipFile, path: Path) -> None:
    n_steps = _MOST_STEPS + 1
    if entry.file_size <= _MOST_PICKLE_BYTES:
        steps = pickletools.genops(archive.read(entry))
        n_steps = sum(1 for _ in islice(steps, _MOST_STEPS + 1))
    if n_steps > _MOST_STEPS:
        raise CheckpointError(
            f"{path} holds more objects beside its tensors ({entry.file_size} bytes of pickle) "
            "than any checkpoint does. Give the file as the training wrote it."
        )


def _require_bounded_content(content: Any, path: Path) -> None:
    """Refuse tensors of more numbers than are stored, and values that grow when written out.

    Both are made of references: a view of one number may say that it has a billion, and ten lists
    of ten times the list before hold ten billion values.
    """
    left: list[Any] = [content]
    n_seen = n_bytes = 0
    while left:
        value, n_seen = left.pop(), n_seen + 1
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list | tuple | set | frozenset):
            left += value
        elif isinstance(value, StoredObject):
            left.append(vars(value))
        elif isinstance(value, np.ndarray):
            n_bytes += value.nbytes
        elif isinstance(value, Tensor):
            n_bytes += _bytes_of(value, path)
        if n_seen + len(left) > _MOST_VALUES or n_bytes > 4 * path.stat().st_size:
            raise CheckpointError(
                f"{path} holds the same values many times over, more than it has bytes for. Give "
                "the file as the training wrote it."
            )


def _bytes_of(tensor: Tensor, path: Path) -> int:
    is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    n_bytes = tensor.numel() * tensor.element_size()
    if not is_plain or tensor.is_quantized or n_bytes > tensor.untyped_storage().nbytes():
        raise CheckpointError(
            f"{path} holds a tensor {list(tensor.shape)} that is not stored number by number "
            f"({tensor.layout}, {tensor.device}). Give the file as the training wrote it."
        )
    return n_bytes


def _load(path: Path) -> Any:
    named = [name for one in FAMILIES.values() if one.files for name in one.files.classes]
    with safe_globals([*_ALLOWED, *((StoredObject, name) for name in named)]):
        try:
            asked_for = get_unsafe_globals_in_checkpoint(path)
            if not asked_for:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except pickle.UnpicklingError as error:
            # What is said after its advice, which is to load the file all the same.
            reason = str(error).partition("WeightsUnpickler error:")[2].strip().split("\n")[0]
            raise _unsafe(path, reason or "its pickle asks for more") from error
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
