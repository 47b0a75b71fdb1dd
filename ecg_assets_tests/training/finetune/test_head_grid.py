"""A grid of heads trained as one against torch's own AdamW on each alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ecg_assets.training.finetune.head_grid import (
    HeadSettings,
    TrainedHeads,
    train_by_epoch,
    train_heads,
)

GRID: dict[str, Any] = {
    "learning_rates": (1e-3, 1e-2),
    "seeds": (0, 7),
    "weight_decays": (0.0, 0.1),
    "epochs": 3,
    "batch_size": 16,
    "device": "cpu",
}
POS_WEIGHT = np.array([1.0, 4.0, 0.5])


@pytest.fixture(scope="module")
def data() -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    random = np.random.default_rng(0)
    features = random.standard_normal((50, 8), np.float32)
    labels = (features[:, :3] + 0.5 * random.standard_normal((50, 3)) > 0).astype(np.uint8)
    return features, labels


@pytest.fixture(scope="module")
def trained(data: tuple[NDArray[np.float32], NDArray[np.uint8]]) -> TrainedHeads:
    return train_heads(*data, POS_WEIGHT, **GRID)


def _alone(
    data: tuple[NDArray[np.float32], NDArray[np.uint8]], settings: HeadSettings
) -> tuple[torch.nn.Linear, list[float]]:
    """Train one head by torch's optimizer, on the batches of its seed."""
    features, labels = (torch.from_numpy(one).float() for one in data)
    head = torch.nn.Linear(8, 3)
    generator = torch.Generator().manual_seed(settings.seed)
    drawn = torch.empty(9, 3).uniform_(-(8**-0.5), 8**-0.5, generator=generator)
    with torch.no_grad():
        head.weight.copy_(drawn[:-1].T)
        head.bias.copy_(drawn[-1])
    groups = [
        {"params": [head.weight], "weight_decay": settings.weight_decay},
        {"params": [head.bias], "weight_decay": 0.0},
    ]
    adam = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), eps=1e-8)
    losses = []
    for epoch in range(GRID["epochs"]):
        order = np.random.default_rng([settings.seed, epoch]).permutation(50)
        of_epoch = []
        for start in range(0, 50, GRID["batch_size"]):
            batch = torch.from_numpy(order[start : start + GRID["batch_size"]])
            loss = functional.binary_cross_entropy_with_logits(
                head(features[batch]), labels[batch], pos_weight=torch.from_numpy(POS_WEIGHT)
            )
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
            of_epoch.append(loss.item())
        losses.append(float(np.mean(of_epoch)))
    return head, losses


def test_each_head_is_what_it_would_be_alone(
    data: tuple[NDArray[np.float32], NDArray[np.uint8]], trained: TrainedHeads
) -> None:
    assert len(set(trained.settings)) == 8
    for number, settings in enumerate(trained.settings):
        head, losses = _alone(data, settings)
        for found, expected in (
            (trained.weight[number], head.weight),
            (trained.bias[number], head.bias),
            (trained.logits(data[0])[number], head(torch.from_numpy(data[0]))),
        ):
            np.testing.assert_allclose(found, expected.detach().numpy(), rtol=0, atol=1e-5)
        np.testing.assert_allclose(trained.train_loss[number], losses, rtol=0, atol=1e-5)


def test_settings_make_a_difference_and_the_neighbours_in_the_grid_none(
    data: tuple[NDArray[np.float32], NDArray[np.uint8]], trained: TrainedHeads
) -> None:
    weights = trained.weight.reshape(8, -1)
    distance = np.abs(weights[:, None] - weights[None]).max(axis=2)
    assert (distance[~np.eye(8, dtype=bool)] > 1e-4).all()
    again = train_heads(*data, POS_WEIGHT, **{**GRID, "seeds": (7,), "learning_rates": (1e-2,)})
    kept = [trained.settings.index(one) for one in again.settings]
    np.testing.assert_allclose(again.weight, trained.weight[kept], rtol=0, atol=1e-6)


def test_heads_of_an_epoch_stay_as_they_are_while_training_goes_on(
    data: tuple[NDArray[np.float32], NDArray[np.uint8]],
) -> None:
    """Of one seed and setting they would be a view of what is trained."""
    one = {**GRID, "seeds": (7,), "learning_rates": (1e-2,), "weight_decays": (0.0,)}
    by_epoch = list(train_by_epoch(*data, POS_WEIGHT, **one))
    for n_epochs, heads in enumerate(by_epoch, start=1):
        alone = train_heads(*data, POS_WEIGHT, **{**one, "epochs": n_epochs})
        np.testing.assert_array_equal(heads.weight, alone.weight)
        np.testing.assert_array_equal(heads.train_loss, alone.train_loss)


def test_same_arguments_give_the_same_bits(
    data: tuple[NDArray[np.float32], NDArray[np.uint8]], trained: TrainedHeads
) -> None:
    again = train_heads(*data, POS_WEIGHT, **GRID)
    np.testing.assert_array_equal(again.weight, trained.weight)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": ()}, "at least one learning rate"),
        ({"features": np.empty((0, 8), np.float32)}, "at least one segment"),
        ({"labels": np.zeros((50, 2), np.uint8)}, r"found \(\(50, 8\), \(50, 2\), \(3,\)\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    change: dict[str, Any],
    message: str,
    data: tuple[NDArray[np.float32], NDArray[np.uint8]],
) -> None:
    given = {"features": data[0], "labels": data[1], "pos_weight": POS_WEIGHT, **GRID, **change}
    with pytest.raises(ValueError, match=message):
        train_heads(**given)
