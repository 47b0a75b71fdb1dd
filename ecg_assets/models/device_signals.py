"""Stored signals standardized on a device, and where a training keeps them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecg_assets.build import SignalCache
from ecg_assets.errors import SettingsError
from ecg_assets.preprocess import SignalSpec
from ecg_assets.sources import MISSING

_RECORDS_PER_COPY = 4096


class DeviceSignals:
    """Stored integers of recordings as one tensor, standardized when segments are cut.

    With Lead I of MIMIC-IV-ECG (800,035 recordings of 10 s) it takes 8 GB. A batch is equal
    to `SignalCache.segments_at`'s, bit for bit.

    Parameters
    ----------
    signals
        Decoded signals; stored integers need measured scales (`SignalCache.find_obstacle`).
    rows
        Rows of the index, ``(record,)``.
    spec
        As the cache was opened for.
    device
        Where the tensors are.

    Raises
    ------
    SettingsError
        When the signals cannot be cut on the device.
    SpecMismatch
        When they were opened for another spec.
    """

    def __init__(
        self,
        signals: SignalCache,
        rows: NDArray[np.int64],
        spec: SignalSpec,
        device: torch.device,
    ) -> None:
        if obstacle := signals.find_obstacle(rows, spec):
            raise SettingsError(f"data_location is 'device', but {obstacle}. Use 'mmap'.")
        # Refuses a spec that the signals were not opened for.
        signals.segments_at(rows[:1], np.zeros(1, np.int64), spec)
        lengths = signals.offsets[rows + 1] - signals.offsets[rows]
        ends = np.cumsum(lengths)
        self._samples = _copy_samples(signals, rows, int(ends[-1]), device)
        self._starts = to_device(ends - lengths, device)
        self._lead_lengths = to_device(lengths // signals.n_rows, device)
        leads = signals.find_rows(spec)
        self._leads = to_device(torch.tensor(leads), device)
        self._scales = None
        if signals.scales is not None:
            scales = signals.scales[rows[:, None], leads]
            self._scales = to_device(scales, device)
        self._within = torch.arange(spec.segment_samples, device=device)
        self._first = signals.first_sample(spec)

    def segments_at(self, positions: Tensor, numbers: Tensor) -> Tensor:
        """Cut and standardize segments.

        Parameters
        ----------
        positions
            Position in `rows` of each segment's recording, int64 ``[segment]``.
        numbers
            Position of each segment in its recording, from 0, int64 ``[segment]``.

        Returns
        -------
        Tensor
            float32 ``[segment, row, sample]``.
        """
        leads = self._leads * self._lead_lengths[positions, None]
        first = self._starts[positions] + self._first + numbers * len(self._within)
        found = self._samples[(first[:, None] + leads)[:, :, None] + self._within]
        if self._scales is None:
            return found
        # As `preprocess.z_score.apply_scales`, in the same order.
        whole, rest, inverse = self._scales[positions][..., None].unbind(dim=2)
        scores = found.float().sub_(whole).sub_(rest).mul_(inverse)
        return scores.masked_fill_(found == MISSING, 0.0)


def count_bytes(signals: SignalCache, rows: NDArray[np.int64]) -> int:
    """Count the bytes that recordings take on a device."""
    n_samples = int((signals.offsets[rows + 1] - signals.offsets[rows]).sum())
    return n_samples * signals.samples.dtype.itemsize


def _copy_samples(
    signals: SignalCache, rows: NDArray[np.int64], n_samples: int, device: torch.device
) -> Tensor:
    """Copy recordings one after the other, some thousand at a time."""
    dtype = torch.int16 if signals.samples.dtype == np.int16 else torch.float32
    result = torch.empty(n_samples, dtype=dtype, device=device)
    at = 0
    for start in range(0, len(rows), _RECORDS_PER_COPY):
        chosen = rows[start : start + _RECORDS_PER_COPY].tolist()
        parts = [signals.samples[signals.offsets[r] : signals.offsets[r + 1]] for r in chosen]
        block = to_device(np.concatenate(parts), device)
        result[at : at + len(block)] = block
        at += len(block)
    return result


def to_device(values: Tensor | NDArray[np.generic], device: torch.device) -> Tensor:
    """Copy values to a device; a GPU gets them while it computes, and nobody waits for it."""
    tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
    if device.type != "cuda" or tensor.device.type == "cuda":
        return tensor.to(device)
    pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
    return pinned.to(device, non_blocking=True)


# Where the signals are while training: in the device's memory, or in a memory-mapped file.


def choose_location(
    name: str,
    signals: SignalCache,
    rows: NDArray[np.int64],
    spec: SignalSpec,
    device: torch.device,
) -> torch.device | None:
    """Resolve ``auto``, ``device`` or ``mmap``.

    Parameters
    ----------
    signals, spec
        Decoded signals, and how they are standardized.
    rows
        All recordings that training reads, ``(record,)``.
    device
        Where the model is.

    Returns
    -------
    torch.device or None
        The device that keeps the signals; None for the memory map.

    Raises
    ------
    SettingsError
        When ``device`` is asked for and they are more than a GPU's free memory.
    """
    if name == "mmap" or (name == "auto" and device.type != "cuda"):
        return None
    if name == "auto" and signals.find_obstacle(rows, spec):
        return None
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    asked = count_bytes(signals, rows)
    if name == "device" and asked > free:
        raise SettingsError(
            f"data_location is 'device', but the signals take {asked / 2**30:.2f} GiB and {device} "
            f"has {free / 2**30:.2f} GiB free. Use 'mmap'."
        )
    return device if name == "device" or asked < free / 2 else None
