"""Signals of some recordings in a device's memory, and batches cut from them there."""

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
    """Stored integers of recordings as one tensor, standardized when a batch is cut.

    With Lead I of MIMIC-IV-ECG (800,035 recordings of 10 s) it takes 8 GB. A batch is equal
    to `SignalCache.segments_at`'s, bit for bit.

    Parameters
    ----------
    signals
        Decoded signals; stored integers need measured scales (`find_obstacle`).
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
        if obstacle := find_obstacle(signals, rows, spec):
            raise SettingsError(f"data_location is 'device', but {obstacle}. Use 'mmap'.")
        # Refuses a spec that the signals were not opened for.
        signals.segments_at(rows[:1], np.zeros(1, np.int64), spec)
        lengths = signals.offsets[rows + 1] - signals.offsets[rows]
        ends = np.cumsum(lengths)
        self._samples = _copy_samples(signals, rows, int(ends[-1]), device)
        self._starts = torch.from_numpy(ends - lengths).to(device)
        self._lead_lengths = torch.from_numpy(lengths // len(signals.leads)).to(device)
        leads = [signals.leads.index(lead) for lead in spec.leads]
        self._leads = torch.tensor(leads, device=device)
        self._scales = None
        if signals.scales is not None:
            scales = signals.scales[rows[:, None], leads]
            self._scales = torch.from_numpy(scales).to(device)
        self._within = torch.arange(spec.segment_samples, device=device)

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
            float32 ``[segment, lead, sample]``.
        """
        leads = self._leads * self._lead_lengths[positions, None]
        first = self._starts[positions] + numbers * len(self._within)
        found = self._samples[(first[:, None] + leads)[:, :, None] + self._within]
        if self._scales is None:
            return found
        # As `preprocess.z_score.apply_scales`, in the same order.
        whole, rest, inverse = self._scales[positions][..., None].unbind(dim=2)
        scores = found.float().sub_(whole).sub_(rest).mul_(inverse)
        return scores.masked_fill_(found == MISSING, 0.0)


def find_obstacle(signals: SignalCache, rows: NDArray[np.int64], spec: SignalSpec) -> str | None:
    """Tell why segments cannot be cut on a device; None when they can."""
    if signals.made_for is not None:
        return None
    if signals.scales is None or signals.scaled_samples != spec.record_samples:
        return "the signals' scales were not measured for this spec"
    if (signals.sample_rates_hz[rows] != spec.sample_rate_hz).any():
        return f"some recordings have another sample rate than {spec.sample_rate_hz} Hz"
    return None


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
        block = torch.from_numpy(np.concatenate(parts))
        result[at : at + len(block)] = block.to(device)
        at += len(block)
    return result
