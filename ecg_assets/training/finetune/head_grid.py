"""Many heads on the same frozen features, trained as one: every rate and decay with every seed.

A head alone is small: a grid of them trained one after the other is mostly waiting. Here all are
one tensor, and each is what it would be alone, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ecg_assets.models.device import choose_device


@dataclass(frozen=True)
class HeadSettings:
    """Settings of one head.

    Attributes
    ----------
    seed
        Of its initial weights and of its order of segments.
    learning_rate, weight_decay
        Of AdamW; the bias does not decay.
    """

    seed: int
    learning_rate: float
    weight_decay: float


@dataclass(frozen=True, eq=False)
class TrainedHeads:
    """Heads in the order of their settings.

    Attributes
    ----------
    settings
        Of each.
    weight, bias
        As a `torch.nn.Linear` has them, float32 ``(head, label, feature)`` and ``(head, label)``.
    train_loss
        Mean over each epoch's batches, float32 ``(head, epoch)``.
    """

    settings: tuple[HeadSettings, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    train_loss: NDArray[np.float32]

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute ``(head, segment, label)`` of features ``(segment, feature)``."""
        return np.asarray(features @ self.weight.mT + self.bias[:, None], np.float32)


def train_heads(
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    pos_weight: NDArray[np.float64],
    *,
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    weight_decays: Sequence[float] = (0.0,),
    epochs: int = 10,
    batch_size: int = 128,
    betas: tuple[float, float] = (0.9, 0.98),
    epsilon: float = 1e-8,
    device: str = "auto",
) -> TrainedHeads:
    """Train a head for each seed, rate and decay on weighted cross entropy by AdamW.

    Parameters
    ----------
    features
        Of the segments, ``(segment, feature)``.
    labels
        0 or 1, ``(segment, label)``.
    pos_weight
        Weight of the positives of each label, ``(label,)``.
    learning_rates, seeds, weight_decays
        The grid; the rate is constant.
    epochs, batch_size
        Passes over the segments, and segments in a step; the last step of a pass may have fewer.
    betas, epsilon
        AdamW's constants.
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    ValueError
        When there is nothing to train on, no head to train, or the shapes do not fit.
    """
    _require(features, labels, pos_weight, learning_rates, seeds, weight_decays)
    place, rates = choose_device(device), list(product(learning_rates, weight_decays))
    data = tuple(torch.from_numpy(one).float().to(place) for one in (features, labels))
    weighted = torch.from_numpy(pos_weight).float().to(place)
    # All heads as one tensor, (seed, feature and bias, setting, label).
    heads = _initial(seeds, features.shape[1], len(rates), labels.shape[1]).to(place)
    adam = _AdamW(heads, torch.tensor(rates, device=place), betas, epsilon)
    losses = []
    for epoch in range(epochs):
        steps = list(_batches(seeds, epoch, len(features), batch_size))
        found = [_step(heads, adam, data, order.to(place), weighted) for order in steps]
        losses.append(torch.stack(found).mean(dim=0).flatten())
    settings = [HeadSettings(seed, *rate) for seed in seeds for rate in rates]
    by_head = heads.detach().permute(0, 2, 3, 1).flatten(0, 1).cpu().numpy()
    train_loss = torch.stack(losses, dim=1).cpu().numpy()
    return TrainedHeads(tuple(settings), by_head[..., :-1], by_head[..., -1], train_loss)


def _step(
    heads: Tensor, adam: _AdamW, data: tuple[Tensor, ...], order: Tensor, pos_weight: Tensor
) -> Tensor:
    """Train all heads on a batch of each seed, and give their losses ``(seed, setting)``."""
    features, labels = (one[order] for one in data)
    logits = features @ heads[:, :-1].flatten(2)  # (seed, segment, setting × label)
    logits = logits.view(*order.shape, *heads.shape[2:]) + heads[:, -1, None]
    loss = functional.binary_cross_entropy_with_logits(
        logits, labels[:, :, None].expand_as(logits), pos_weight=pos_weight, reduction="none"
    ).mean(dim=(1, 3))
    # Heads share nothing: the sum's gradient is that of each alone.
    (gradient,) = torch.autograd.grad(loss.sum(), heads)
    adam.step(gradient)
    return loss.detach()


class _AdamW:
    """torch.optim.AdamW with a rate and a decay for each setting, which torch's has for all."""

    def __init__(
        self, heads: Tensor, rates: Tensor, betas: tuple[float, float], epsilon: float
    ) -> None:
        self._heads, self._betas, self._epsilon = heads, betas, epsilon
        self._rate, decay = (one[:, None] for one in rates.float().unbind(dim=1))
        self._kept = (1 - self._rate * decay).expand(heads.shape[2:]).repeat(heads.shape[1], 1, 1)
        self._kept[-1] = 1.0  # a bias does not decay
        self._first, self._second = torch.zeros_like(heads), torch.zeros_like(heads)
        self._n_steps = 0

    @torch.no_grad()
    def step(self, gradient: Tensor) -> None:
        """Change the heads in place."""
        self._n_steps += 1
        first, second = self._betas
        self._first.lerp_(gradient, 1 - first)
        self._second.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = (self._second / (1 - second**self._n_steps)).sqrt_().add_(self._epsilon)
        change = self._first / scale * (self._rate / (1 - first**self._n_steps))
        self._heads.mul_(self._kept).sub_(change)


def _initial(seeds: Sequence[int], n_features: int, n_settings: int, n_labels: int) -> Tensor:
    """Draw weights as `torch.nn.Linear` does, ``(seed, feature and bias, setting, label)``."""
    bound = n_features**-0.5
    drawn = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        one = torch.empty(n_features + 1, 1, n_labels).uniform_(-bound, bound, generator=generator)
        drawn.append(one.expand(-1, n_settings, -1))
    return torch.stack(drawn).requires_grad_()


def _batches(
    seeds: Sequence[int], epoch: int, n_segments: int, batch_size: int
) -> Iterator[Tensor]:
    """Give each step's segments ``(seed, segment)``, which follow from seed and epoch alone."""
    orders = [np.random.default_rng([seed, epoch]).permutation(n_segments) for seed in seeds]
    order = torch.from_numpy(np.stack(orders))
    for start in range(0, n_segments, batch_size):
        yield order[:, start : start + batch_size]


def _require(
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    pos_weight: NDArray[np.float64],
    *grid: Sequence[float],
) -> None:
    if not all(grid):
        raise ValueError("Give at least one learning rate, one seed and one weight decay.")
    shapes = features.shape, labels.shape, pos_weight.shape
    if not len(features) or len(features) != len(labels) or labels.shape[1:] != pos_weight.shape:
        raise ValueError(
            "Expected features (segment, feature), labels (segment, label) and pos_weight "
            f"(label,) of at least one segment, found {shapes}."
        )
