"""What can be known of this machine's GPUs without torch, when the definitions load.

torch decides when a step computes; what it will surely refuse is told now instead of after hours.
bf16 computes everywhere, on older GPUs slowly.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

from ecg_assets.errors import SettingsError

DRIVERS = ("proc/driver/nvidia", "dev/nvidiactl", "dev/nvmap", "dev/dxg", "dev/kfd")
"""One of these is there where a GPU can be used: NVIDIA's, a Jetson's, that of WSL, AMD's."""


def require_computable(device: str, precision: str, *, root: Path = Path("/")) -> None:
    """Refuse a GPU that is not there, and fp16 without one.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    precision
        ``fp32``, ``bf16`` or ``fp16``.
    root
        Of the file system.

    Raises
    ------
    SettingsError
        With the setting, what is there, and what to set.
    """
    why_none = _find_why_none(device, root)
    if device.startswith("cuda") and why_none:
        raise SettingsError(
            f"ECG_DEVICE is {device!r}, but {why_none}. Set ECG_DEVICE=auto or cpu, or install a "
            "driver and a torch build for your GPU."
        )
    if precision == "fp16" and (device == "cpu" or why_none):
        raise SettingsError(
            "ECG_PRECISION is 'fp16', which needs a GPU, and "
            f"{why_none or 'ECG_DEVICE is cpu'}. Set fp32 or bf16."
        )


def _find_why_none(device: str, root: Path) -> str:
    """Say why torch cannot use the GPU; empty where it may."""
    if version("torch").endswith("+cpu"):
        return "the installed torch is built for CPUs alone"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in {"", "-1"}:
        return "CUDA_VISIBLE_DEVICES hides every GPU"
    if sys.platform == "linux" and not any((root / file).exists() for file in DRIVERS):
        return "this machine has no GPU driver"
    gpus = root / "proc/driver/nvidia/gpus"
    n_gpus = len(list(gpus.iterdir())) if gpus.is_dir() else None
    number = int(device.partition(":")[2] or 0)
    if visible is None and n_gpus is not None and number >= n_gpus:
        return f"this machine has {n_gpus} GPUs, numbered from cuda:0"
    return ""
