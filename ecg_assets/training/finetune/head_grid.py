"""Many heads on the same frozen features, trained as one: every rate and decay with every seed.

A head alone is small: a grid of them trained one after the other is mostly waiting. Here all are
one tensor, and each is what it would be alone, to rounding. `measure_probes` trains them on a
fine-tuning request's encoder and data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ecg_assets.errors import SettingsError
from ecg_assets.known import is_known, is_positive
from ecg_assets.models.device import choose_device
from ecg_assets.training.engine.data import TrainingData, open_training_data
from ecg_assets.training.engine.segments import SegmentDataset
from ecg_assets.training.engine.trainer_arguments import deterministic
from ecg_assets.training.finetune.finetune import FinetuneTraining
from ecg_assets.training.finetune.methods import find_features, find_places
from ecg_assets.training.finetune.probe_grid import require_grid
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets.training.finetune.validate import validate_logits, weighted_loss


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
        return np.stack([self.logits_of(number, features) for number in range(len(self.settings))])

    def logits_of(self, number: int, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute ``(segment, label)`` of one head."""
        return np.asarray(features @ self.weight[number].T + self.bias[number], np.float32)


def train_heads(
    features: NDArray[np.float32],
    labels: NDArray[np.uint8],
    pos_weight: NDArray[np.float64],
    **grid: Any,
) -> TrainedHeads:
    """Train as `train_by_epoch`, and give the heads of the last epoch."""
    *_, last = train_by_epoch(features, labels, pos_weight, **grid)
    return last


def train_by_epoch(
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
) -> Iterator[TrainedHeads]:
    """Train a head for each seed, rate and decay on weighted cross entropy by AdamW.

    Parameters
    ----------
    features
        Of the segments, ``(segment, feature)``.
    labels
        0 or 1, or `NOT_MEASURED`, which counts in no loss, ``(segment, label)``.
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

    Yields
    ------
    TrainedHeads
        Of each epoch, as they are after it, with the losses so far.

    Raises
    ------
    ValueError
        When there is nothing to train on, no head to train, or the shapes do not fit.
    """
    _require(features, labels, pos_weight, learning_rates, seeds, weight_decays)
    place, rates = choose_device(device), list(product(learning_rates, weight_decays))
    given = features, is_positive(labels), is_known(labels)
    data = tuple(torch.from_numpy(np.asarray(one)).float().to(place) for one in given)
    weighted = torch.from_numpy(pos_weight).float().to(place)
    # All heads as one tensor, (seed, feature and bias, setting, label).
    heads = _initial(seeds, features.shape[1], len(rates), labels.shape[1]).to(place)
    adam = _AdamW(heads, torch.tensor(rates, device=place), betas, epsilon)
    settings = tuple(HeadSettings(seed, *rate) for seed in seeds for rate in rates)
    losses = []
    for epoch in range(epochs):
        steps = list(_batches(seeds, epoch, len(features), batch_size))
        found = [_step(heads, adam, data, order.to(place), weighted) for order in steps]
        losses.append(torch.stack(found).mean(dim=0).flatten())
        # Of a single seed or setting it would be a view, which the next epoch changes.
        by_head = heads.detach().permute(0, 2, 3, 1).flatten(0, 1).clone().cpu().numpy()
        train_loss = torch.stack(losses, dim=1).cpu().numpy()
        yield TrainedHeads(settings, by_head[..., :-1], by_head[..., -1], train_loss)


def _step(
    heads: Tensor, adam: _AdamW, data: tuple[Tensor, ...], order: Tensor, pos_weight: Tensor
) -> Tensor:
    """Train all heads on a batch of each seed, and give their losses ``(seed, setting)``."""
    features, labels, known = (one[order] for one in data)
    logits = features @ heads[:, :-1].flatten(2)  # (seed, segment, setting × label)
    logits = logits.view(*order.shape, *heads.shape[2:]) + heads[:, -1, None]
    each = functional.binary_cross_entropy_with_logits(
        logits, labels[:, :, None].expand_as(logits), pos_weight=pos_weight, reduction="none"
    )
    counted = known[:, :, None]
    loss = (each * counted).sum(dim=(1, 3)) / counted.sum(dim=(1, 3)).clamp(min=1)
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


# The heads of a request, measured on its validation split after each epoch.


def measure_probes(
    request: FinetuneRequest,
    report: Callable[[str], None],
    *,
    learning_rates: Sequence[float],
    weight_decays: Sequence[float],
    seeds: Sequence[int],
    open_data: Callable[[FinetuneRequest], TrainingData] = open_training_data,
) -> list[dict[str, Any]]:
    """Train a head of each rate, decay and seed on a request's frozen encoder, and validate it.

    Parameters
    ----------
    request
        Its recipe gives epochs, batch size and AdamW's constants, its method is linear-probe. The
        test split is not read.
    report
        Gets a line an epoch.
    learning_rates, weight_decays, seeds
        The grid.
    open_data
        Reads the request's manifest and signals.

    Returns
    -------
    list of dict
        Of each head ``learning_rate``, ``weight_decay``, ``seed``; ``best_epoch``, the first one
        of the lowest validation loss, with ``valid_loss`` and ``valid_macro_auroc``, or None; and
        ``undefined``, why there is no number, or None.

    Raises
    ------
    SettingsError
        When the labels exclude one another or are numbers, the grid is none, or the model's head
        is not linear.
    """
    recipe = request.recipe
    require_grid(recipe, learning_rates, weight_decays, seeds)
    FinetuneTraining.require_possible(request)
    data = open_data(request).for_request(request)
    (features, labels), (valid_features, valid_labels) = _find_segments(request, data)
    best: _Best | None = None
    trained = train_by_epoch(
        features,
        labels,
        data.manifest.pos_weight,
        learning_rates=learning_rates,
        seeds=seeds,
        weight_decays=weight_decays,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        betas=(recipe.adam_beta1, recipe.adam_beta2),
        epsilon=recipe.adam_epsilon,
        device=request.device,
    )
    for epoch, heads in enumerate(trained, start=1):
        logits = (heads.logits_of(number, valid_features) for number in range(len(heads.settings)))
        found = [weighted_loss(one, valid_labels, data.manifest.pos_weight) for one in logits]
        best = best or _Best(heads)
        best.take(epoch, heads, np.array(found))
        report(f"epoch {epoch} of {recipe.epochs}: lowest validation loss {min(found):.4g}")
    if best is None:
        raise ValueError(f"epochs is {recipe.epochs}; it must be 1 at least.")
    return [
        _describe(best, number, data, valid_features) for number in range(len(best.heads.settings))
    ]


class _Best:
    """Each head as it was after its best epoch."""

    def __init__(self, heads: TrainedHeads) -> None:
        self.heads = replace(heads, weight=heads.weight.copy(), bias=heads.bias.copy())
        self.epoch = np.zeros(len(heads.settings), np.int64)
        self._loss = np.full(len(heads.settings), np.inf)

    def take(self, epoch: int, heads: TrainedHeads, loss: NDArray[np.float64]) -> None:
        """Keep the heads whose loss, ``(head,)``, is lower than in all epochs before."""
        is_better = loss < self._loss  # what is no number is not
        self._loss[is_better], self.epoch[is_better] = loss[is_better], epoch
        self.heads.weight[is_better] = heads.weight[is_better]
        self.heads.bias[is_better] = heads.bias[is_better]


def _describe(
    best: _Best, number: int, data: TrainingData, features: NDArray[np.float32]
) -> dict[str, Any]:
    """Give a head's row of the table, measured as a training is."""
    settings, epoch = best.heads.settings[number], int(best.epoch[number])
    row: dict[str, Any] = {
        "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay,
        "seed": settings.seed,
        **dict.fromkeys(("best_epoch", "valid_loss", "valid_macro_auroc", "undefined")),
    }
    if not epoch:
        return {**row, "undefined": "the validation loss is finite in no epoch"}
    found = validate_logits(data, data.rows("valid"), best.heads.logits_of(number, features))
    row |= {"best_epoch": epoch, "valid_loss": found.loss}
    if np.isnan(found.macro_auroc):
        return {**row, "undefined": "no label has both classes in the validation split"}
    return {**row, "valid_macro_auroc": found.macro_auroc}


def _find_segments(
    request: FinetuneRequest, data: TrainingData
) -> list[tuple[NDArray[np.float32], NDArray[np.uint8]]]:
    """Give features and targets of the segments of train and of valid."""
    splits = [data.rows(name) for name in ("train", "valid")]
    rows = np.unique(np.concatenate(splits))
    with deterministic(request.device):
        model = FinetuneTraining(request, data).build_model()
        head = model.get_submodule(model.head_name)
        if not isinstance(head, nn.Linear):
            raise SettingsError(
                f"The head of preset {request.preset!r} is a {type(head).__name__}, and a grid of "
                "probes is of linear ones. Use grid_checkpoint, which trains any head."
            )
        segments = partial(SegmentDataset, data, rows, model.config.n_channels)
        place = choose_device(request.device)
        features = find_features(model, data, rows, segments, request=request, device=place)
    return [
        (
            features[find_places(data, part, rows)],
            np.repeat(data.manifest.targets[part], data.n_segments(part), axis=0),
        )
        for part in splits
    ]
