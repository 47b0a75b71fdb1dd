"""Batches of segments for a torch DataLoader."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ecg_assets.build import Manifest
from ecg_assets.known import NOT_MEASURED, is_known
from ecg_assets.models.device_signals import DeviceSignals, to_device
from ecg_assets.training.engine.data import TrainingData

Batch = dict[str, Tensor]


class BatchTargets:
    """Targets as the arguments of a training loss: which ones are known, where some are not.

    Parameters
    ----------
    manifest
        Says whether all are known, in any of its splits: all batches are alike.
    targets
        Of the items of a dataset, ``(item, label)``, as a manifest has them.
    """

    def __init__(self, manifest: Manifest, targets: Tensor) -> None:
        self._targets = targets
        self._is_partly_measured = manifest.is_partly_measured

    def of(self, items: Any) -> Batch:
        """Take ``labels`` and, where some are not measured, ``known``, ``[batch, label]``."""
        chosen = self._targets[items]
        if not self._is_partly_measured:
            return {"labels": chosen.float()}
        known = ~chosen.isnan() if chosen.is_floating_point() else chosen != NOT_MEASURED
        # What is not known must be finite: its loss is multiplied by nothing.
        return {
            "labels": torch.where(known, chosen, torch.zeros_like(chosen)).float(),
            "known": known,
        }


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
        Channels of the model, which was compared with the manifest's spec when it was built.
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
        self._data = data
        self._rows = rows
        self._n_channels = n_channels
        counts = data.n_segments(rows)
        self._ends = np.cumsum(counts)
        self._starts = self._ends - counts
        targets = torch.from_numpy(data.manifest.targets[rows]).to(device)
        self._targets, self._place = BatchTargets(data.manifest, targets), targets.device
        self._pos_weight = torch.from_numpy(data.manifest.pos_weight).float().to(device)
        self._on_device = None
        if device is not None:
            self._on_device = DeviceSignals(data.signals, rows, data.manifest.spec, device)

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def counts(self) -> NDArray[np.int64]:
        """Known targets of each segment, ``(segment,)``."""
        return count_known(self._data, self._rows)

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """Read segments as the arguments of `EcgClassifier.forward`."""
        record = np.searchsorted(self._ends, items, side="right")
        numbers = np.asarray(items) - self._starts[record]
        positions = to_device(record, self._place)
        if self._on_device is not None:
            wanted = to_device(numbers, self._place)
            segments = self._on_device.segments_at(positions, wanted)
        else:
            spec = self._data.manifest.spec
            rows = self._rows[record]
            segments = torch.from_numpy(self._data.signals.segments_at(rows, numbers, spec))
        return {
            # A repeated lead is a view of one: twelve copies would cost six times as much.
            "input_values": segments.expand(-1, self._n_channels, -1),
            **self._targets.of(positions),
            "pos_weight": self._pos_weight,
        }


def count_known(data: TrainingData, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the known targets of all segments of some recordings, ``(segment,)``."""
    known = is_known(data.manifest.targets[rows]).sum(axis=1, dtype=np.int64)
    return np.repeat(known, data.n_segments(rows))


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


# Training in one process or several, with the same steps.


class SharedBatches(Sampler[list[int]]):
    """The batches of one of one or several processes, which make an epoch's steps together.

    All have equally many, so that none waits for another for ever: where an epoch's last step has
    too few segments, a process repeats the first ones, and its `divisor` is infinite.

    Parameters
    ----------
    order
        Of all segments.
    counts
        What a pass's loss is the mean over, of each segment: its known labels, ``(segment,)``.
        None: a step is the mean of its passes, which are never split; so pre-training has it.
    batch_size, n_passes
        Segments of a forward pass and passes of a step, of each process: `TrainingRecipe.share`.
    rank, n_processes
        Which process of how many.
    """

    def __init__(
        self,
        order: EpochShuffle,
        counts: NDArray[np.int64] | None,
        *,
        batch_size: int,
        n_passes: int,
        rank: int = 0,
        n_processes: int = 1,
    ) -> None:
        self._counts_passes = counts is None
        self._order = order
        self._counts = np.ones(len(order), np.int64) if counts is None else counts
        self._batch_size, self._n_passes = batch_size, n_passes
        self._rank, self._n_processes = rank, n_processes
        self._so_far = np.zeros(len(order) + 1, np.int64)

    def __len__(self) -> int:
        return math.ceil(len(self._order) / (self._batch_size * self._n_processes))

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self._order)
        self._so_far = np.append(0, np.cumsum(self._counts[order]))
        for number in range(len(self)):
            start = self._start(number)
            yield order[start : start + self._batch_size] or order[: self._batch_size]

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        self._order.set_epoch(epoch)

    def divisor(self, number: int) -> float:
        """Give what a batch's mean loss is divided by, in the epoch that is iterated over.

        The mean over the processes of their sums over a step is then the mean over all that the
        step's segments count, whichever pass they are in; without counts that of its passes.

        Parameters
        ----------
        number
            Of the batch in the epoch, from 0.
        """
        own = self._count(self._start(number), self._batch_size)
        if not own:
            return math.inf
        in_all = self._batch_size * self._n_processes
        first = (number - number % self._n_passes) * in_all
        of_step = self._count(first, self._n_passes * in_all)
        if self._counts_passes:
            return math.ceil(of_step / self._batch_size) / self._n_processes
        return of_step / (own * self._n_processes)

    def _count(self, start: int, n_segments: int) -> int:
        last = len(self._order)
        end = self._so_far[min(start + n_segments, last)]
        return int(end - self._so_far[min(start, last)])

    def _start(self, number: int) -> int:
        return (number * self._n_processes + self._rank) * self._batch_size


class SharedLoader(DataLoader[Batch]):
    """Loads `SharedBatches`; the Trainer tells it the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next iteration."""
        batches: Any = self.batch_sampler
        batches.set_epoch(epoch)
