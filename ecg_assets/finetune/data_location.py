"""Where the signals are while training: in the device's memory, or in a memory-mapped file."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ecg_assets.finetune.device_signals import count_bytes, find_obstacle
from ecg_assets.finetune.training_data import TrainingData


def choose_location(
    name: str, data: TrainingData, rows: NDArray[np.int64], device: torch.device
) -> torch.device | None:
    """Resolve ``auto``, ``device`` or ``mmap``.

    Parameters
    ----------
    rows
        All recordings that training reads, ``(record,)``.
    device
        Where the model is.

    Returns
    -------
    torch.device or None
        The device that keeps the signals; None for the memory map.
    """
    if name == "mmap" or (name == "auto" and not _fits(data, rows, device)):
        return None
    return device


def _fits(data: TrainingData, rows: NDArray[np.int64], device: torch.device) -> bool:
    if device.type != "cuda" or find_obstacle(data.signals, rows, data.manifest.spec):
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return count_bytes(data.signals, rows) < free / 2
