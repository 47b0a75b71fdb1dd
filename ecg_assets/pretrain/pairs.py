"""Batches of paired segments for a torch DataLoader, with their masks and negatives."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ecg_assets.finetune.segments import EpochShuffle
from ecg_assets.finetune.training_data import TrainingData
from ecg_assets.models.inputs import require_channels
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.pretrain.masks import draw_kept_leads, draw_negatives, draw_span_mask
from ecg_assets.pretrain.paired_segments import Pairs

Batch = dict[str, Tensor]


class PairDataset(Dataset[Batch]):
    """Pairs as the arguments of `EcgForPreTraining.forward`, a whole batch at once.

    Item ``epoch × len + i`` is pair i in that epoch. Masks, negatives and blanked leads
    follow from the seed, the epoch and the first pair of the batch alone: in whichever
    process a batch is made, it is the same.

    Parameters
    ----------
    data
        The recordings.
    pairs
        Which segments of them.
    n_channels
        Channels of the model: the number of leads, or more for one lead repeated.
    n_tokens
        Tokens of a segment.
    objective
        Says how to mask.
    seed
        Seed of masks, negatives and blanked leads.
    """

    def __init__(
        self,
        data: TrainingData,
        pairs: Pairs,
        *,
        n_channels: int,
        n_tokens: int,
        objective: Objective,
        seed: int,
    ) -> None:
        require_channels(data.manifest.spec, n_channels)
        self._spec = data.manifest.spec
        self._signals = data.signals
        self._pairs = pairs
        self._n_channels = n_channels
        self._n_tokens = n_tokens
        self._objective = objective
        self._seed = seed

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, item: int) -> Batch:
        return self.__getitems__([item])

    def __getitems__(self, items: list[int]) -> Batch:
        """Read pairs: first the first segments of all, then the second ones."""
        epochs, chosen = np.divmod(items, len(self))
        random = np.random.default_rng([self._seed, epochs[0], chosen[0]])
        mask = draw_span_mask(
            random,
            2 * len(chosen),
            self._n_tokens,
            probability=self._objective.mask_probability,
            length=self._objective.mask_length,
        )
        negatives = draw_negatives(
            random, len(mask), int(mask[0].sum()), self._objective.n_negatives
        )
        return {
            "input_values": torch.from_numpy(self._read(chosen, random)),
            "mask": torch.from_numpy(mask),
            "negatives": torch.from_numpy(negatives),
            "patients": torch.from_numpy(self._pairs.patients[chosen]),
        }

    def _read(self, chosen: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float32]:
        """Read segments and blank leads, ``(2 × pair, channel, sample)``."""
        rows, numbers = self._pairs.rows[:, chosen], self._pairs.numbers[:, chosen]
        segments = self._signals.segments_at(rows.ravel(), numbers.ravel(), self._spec)
        probability = self._objective.lead_mask_probability
        kept = draw_kept_leads(
            random, len(segments), self._n_channels, mask_probability=probability
        )
        # A single lead is repeated here: each copy is blanked on its own.
        return segments * kept[:, :, None].astype(np.float32)


class EpochNumberedShuffle(EpochShuffle):
    """The same order, as items of `PairDataset`, which tell one epoch from another."""

    def __iter__(self) -> Iterator[int]:
        for item in super().__iter__():
            yield self._epoch * self._n_items + item
