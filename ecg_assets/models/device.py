"""Which device computes, and in which precision."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext

import torch

from ecg_assets.errors import SettingsError

PRECISIONS = ("fp32", "bf16", "fp16")
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def choose_device(name: str) -> torch.device:
    """Resolve ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    SettingsError
        When the name is none of these or that GPU is not there.
    """
    if not _DEVICE.fullmatch(name):
        raise SettingsError(f"device is {name!r}; allowed: auto, cpu, cuda, cuda:N.")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if n_gpus else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise SettingsError(
            f"device is {name!r}, but torch sees {n_gpus} GPUs. Set ECG_DEVICE=auto or cpu, "
            "or install a torch build for your GPU."
        )
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Context in which a model computes in ``fp32``, ``bf16`` or ``fp16``."""
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is {precision!r}; allowed: {PRECISIONS}.")
    if precision == "fp16" and device.type == "cpu":
        raise SettingsError("precision is 'fp16' on a CPU; use fp32 or bf16 there.")
    if precision == "fp32":
        return nullcontext()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    return torch.autocast(device.type, dtype=dtype)
