"""Batches of segments for a torch DataLoader."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ecg_assets.finetune.device_signals import DeviceSignals
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.models.inputs import require_channels

Batch = dict[str, Tensor]


class SegmentDataset(Dataset[Batch]):
    """All segments of some recordings, one after the other.

    A whole batch is read at once (`__getitems__`), and of a recording only the segment asked
    for: one by one costs several times as much.

    Parameters
    ----------
    data
        Manifest and signals.
    rows
        Rows of the manifest's index, ``(record,)``.
    n_channels
        Channels of the model.
    device
        Where signals and targets are kept and batches made; None for the memory map.
    """

    def __init__(
        self,
        data: TrainingData,
        rows: NDArray[np.int64],
        n_channels: int,
        device: torch.device | None = None,
    ) -> None:
        require_channels(data.manifest.spec, n_channels)
        self._data = data
        self._rows = rows
        self._n_channels = n_channels
        counts = data.n_segments(rows)
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        self._targets = torch.from_numpy(data.manifest.targets[rows]).to(device)
        self._pos_weight = torch.from_numpy(data.manifest.pos_weight).float().to(device)
        self._on_device = None
        if device is not None:
            self._on_device = DeviceSignals(data.signals, rows, data.manifest.spec, device)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """Read segments as the arguments of `EcgClassifier.forward`."""
        record = np.searchsorted(self._ends, items, side="right")
        numbers = np.asarray(items) - self._starts[record]
        positions = torch.from_numpy(record).to(self._targets.device)
        if self._on_device is not None:
            wanted = torch.from_numpy(numbers).to(positions.device)
            segments = self._on_device.segments_at(positions, wanted)
        else:
            spec = self._data.manifest.spec
            rows = self._rows[record]
            segments = torch.from_numpy(self._data.signals.segments_at(rows, numbers, spec))
        return {
            # A repeated lead is a view of one: twelve copies would cost six times as much.
            "input_values": segments.expand(-1, self._n_channels, -1),
            "labels": self._targets[positions].float(),
            "pos_weight": self._pos_weight,
        }


def keep_batch(batch: Any) -> Any:
    """Collate nothing: `SegmentDataset` gives whole batches."""
    return batch


class EpochShuffle(Sampler[int]):
    """Another order in each epoch that depends on nothing but the seed and the epoch.

    A resumed run sees its epochs in the order that an undisturbed one would.

    Parameters
    ----------
    n_items
        Segments.
    seed
        Of the training.
    on_epoch
        Also told each epoch: on several GPUs nothing else tells a dataset.
    """

    def __init__(
        self, n_items: int, seed: int, on_epoch: Callable[[int], None] | None = None
    ) -> None:
        self._n_items = n_items
        self._seed = seed
        self._epoch = 0
        self._on_epoch = on_epoch

    def __len__(self) -> int:
        return self._n_items

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration; the Trainer calls it."""
        self._epoch = epoch
        if self._on_epoch is not None:
            self._on_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(self._n_items)
        yield from order.tolist()
