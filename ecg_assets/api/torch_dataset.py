"""Segments of stored recordings as a torch data set. Loads torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ecg_assets.build.signal_cache import SignalCache
from ecg_assets.preprocess.model_input import number_segments, project_channels
from ecg_assets.preprocess.shard_schema import TOO_SHORT
from ecg_assets.preprocess.signal_spec import SignalSpec

Item = Tensor | tuple[Tensor, Tensor]


class SegmentDataset(Dataset[Item]):
    """Segments of recordings, as `Shards.dataset` gives them.

    An item is a segment, float32 ``(channel, sample)``, or with labels a pair of it and its
    targets, float32 ``(label,)`` with NaN where one is not known. ``torch.utils.data.DataLoader``
    reads a batch at once.

    Attributes
    ----------
    record_ids
        Recording of each item.
    segment_numbers
        Position of each item in its recording, from 0.
    label_names
        Names of the targets; empty without labels.
    spec
        What was made of the recordings.
    left_out
        Recordings without an item: ``too_short`` or ``unlabelled``, to their number.
    """

    def __init__(
        self,
        signals: SignalCache,
        places: pd.DataFrame,
        spec: SignalSpec,
        targets: pd.DataFrame | None,
        n_channels: int,
    ) -> None:
        rows = np.arange(len(places))
        counts = signals.n_segments(rows, spec)
        self._signals, self.spec, self._n_channels = signals, spec, n_channels
        self._rows, self.segment_numbers = np.repeat(rows, counts), number_segments(counts)
        self.record_ids: NDArray[np.object_] = places["record_id"].to_numpy(object)[self._rows]
        self.label_names = () if targets is None else tuple(targets.columns)
        self._targets = None if targets is None else targets.to_numpy(np.float32)
        n_short = int((counts == 0).sum())
        self.left_out = Counter({TOO_SHORT: n_short} if n_short else {})

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> Item:
        if not -len(self) <= at < len(self):
            raise IndexError(f"item {at} of {len(self)}")
        return self.__getitems__([at])[0]

    def __getitems__(self, at: Sequence[int]) -> list[Item]:
        """Give several items at once, as a DataLoader asks for a batch."""
        rows = self._rows[np.asarray(at, np.int64)]
        numbers = self.segment_numbers[np.asarray(at, np.int64)]
        found = self._signals.segments_at(rows, numbers, self.spec)
        segments = torch.from_numpy(project_channels(found, self._n_channels))
        if self._targets is None:
            return list(segments)
        targets = torch.from_numpy(self._targets[rows])
        return list(zip(segments, targets, strict=True))


def open_segments(
    places: pd.DataFrame,
    shard_folder: Path,
    spec: SignalSpec,
    cache_folder: Path,
    *,
    labels: pd.DataFrame | None,
    n_channels: int | None,
) -> SegmentDataset:
    """Decode recordings and give their segments; arguments are those of `Shards.dataset`."""
    channels = spec.n_channels if n_channels is None else n_channels
    if not spec.can_give(channels):
        raise ValueError(
            f"n_channels is {channels}; the spec gives {spec.describe_channels()} channels."
        )
    targets, n_unlabelled = None, 0
    if labels is not None:
        if not labels.index.is_unique:
            raise ValueError("labels has a record_id twice in its index; expected each once.")
        found = labels.reindex(pd.Index(places["record_id"], dtype=object))
        is_known = found.notna().any(axis=1).to_numpy()
        n_unlabelled = int((~is_known).sum())
        places = places[is_known].reset_index(drop=True)
        targets = found[is_known].astype("Float32").astype(np.float32)
    if places.empty:
        raise ValueError(
            f"No recording is left: {n_unlabelled} have no label. The index of labels must be "
            "record ids, as `labels` of a source or of shards has them."
        )
    signals = SignalCache.open(places, shard_folder, spec, cache_folder)
    dataset = SegmentDataset(signals, places, spec, targets, channels)
    if n_unlabelled:
        dataset.left_out["unlabelled"] = n_unlabelled
    return dataset
