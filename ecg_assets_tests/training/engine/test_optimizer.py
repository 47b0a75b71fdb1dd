"""fairseq's Adam against its formula in numpy, and against a training by fairseq-signals."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ecg_assets.models.ecg_fm.config import ecg_fm_config_of
from ecg_assets.models.ecg_fm.family import SIZES
from ecg_assets.models.ecg_fm.pretraining import EcgFmForPreTraining, map_pretraining_weights
from ecg_assets.models.load import load_checkpoint
from ecg_assets.models.pretraining.model import pretraining_config
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.training.engine.optimizer import FairseqAdam

GOLDEN_OBJECTIVE = Objective(code_vectors=16, code_width=32, dropout=0.0)
GOLDEN_CONFIG = pretraining_config(
    ecg_fm_config_of(
        {**SIZES["tiny"], "conv_dim": (32,) * 4, "conv_kernel": (2,) * 4, "conv_stride": (2,) * 4},
        n_channels=12,
    ),
    GOLDEN_OBJECTIVE,
)
LR, BETAS, EPS, DECAY = 1e-2, (0.9, 0.98), 1e-3, 0.05


def _expected(weight: NDArray[np.float64], gradients: list[NDArray[np.float64]]) -> Any:
    """Change a weight as fairseq/optim/adam.py does, in float64."""
    mean, square = np.zeros_like(weight), np.zeros_like(weight)
    for step, gradient in enumerate(gradients, start=1):
        mean = BETAS[0] * mean + (1 - BETAS[0]) * gradient
        square = BETAS[1] * square + (1 - BETAS[1]) * gradient**2
        size = LR * np.sqrt(1 - BETAS[1] ** step) / (1 - BETAS[0] ** step)
        weight = weight - DECAY * LR * weight
        weight = weight - size * mean / (np.sqrt(square) + EPS)
    return weight


def test_a_step_is_fairseqs_also_of_a_weight_that_is_trained_later() -> None:
    random = np.random.default_rng(0)
    start = random.standard_normal(7)
    # About as small as epsilon: there torch's Adam differs.
    gradients = [1e-3 * random.standard_normal(7) for _ in range(5)]
    first, second = (nn.Parameter(torch.from_numpy(start).float()) for _ in range(2))
    adam = FairseqAdam([first, second], lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)
    for step, gradient in enumerate(gradients):
        first.grad = torch.from_numpy(gradient).float()
        second.grad = first.grad.clone() if step >= 2 else None
        if step == 3:  # as a training that is resumed
            state = adam.state_dict()
            adam = FairseqAdam([first, second], lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)
            adam.load_state_dict(state)
        adam.step()
    found = [weight.detach().double().numpy() for weight in (first, second)]
    np.testing.assert_allclose(found[0], _expected(start, gradients), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], _expected(start, gradients[2:]), rtol=0, atol=1e-6)
    torchs = nn.Parameter(torch.from_numpy(start).float())
    of_torch = torch.optim.AdamW([torchs], lr=LR, betas=BETAS, eps=EPS, weight_decay=DECAY)
    for gradient in gradients:
        torchs.grad = torch.from_numpy(gradient).float()
        of_torch.step()
    assert np.abs(torchs.detach().numpy() - found[0]).max() > 1e-3


@pytest.mark.reference
def test_three_steps_give_the_weights_of_fairseq_signals(reference_data: Path) -> None:
    golden = reference_data / "fairseq_golden"
    expected = load_checkpoint(golden / "trainer" / "checkpoint_best.pt").state_dict()
    found, of_torch = (
        torch.cat([(state[name] - expected[name]).abs().ravel() for name in expected])
        for state in (_three_steps(golden, adam) for adam in (FairseqAdam, torch.optim.AdamW))
    )
    assert found.numel() == 93_793
    assert found.max() < 5e-7
    assert (found > 1.5e-7).sum() < 10
    assert (of_torch > 1e-6).sum() > 8_000


def _three_steps(golden: Path, optimizer: type[torch.optim.AdamW]) -> dict[str, torch.Tensor]:
    """Train as ``trainer/log.txt``: the pretrained encoder and the head that it started from."""
    model: Any = load_checkpoint(golden / "trainer" / "checkpoint_best.pt")
    model.load_state_dict(load_checkpoint(golden / "pretrained_tiny.pt").state_dict(), strict=False)
    with np.load(golden / "trainer" / "head_initial.npz") as head, torch.no_grad():
        model.head.weight.copy_(torch.from_numpy(head["proj.weight"]))
        model.head.bias.copy_(torch.from_numpy(head["proj.bias"]))
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.freeze_convolutions()
    model.train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    adam = optimizer(trained, lr=5e-5, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.0)
    pos_weight = torch.from_numpy(np.load(golden / "pos_weight.npy")).float()
    with np.load(golden / "trainer" / "batches.npz") as batches:
        for number in range(3):
            signals = torch.from_numpy(batches[f"source_{number}"]).float()
            labels = torch.from_numpy(batches[f"labels_{number}"]).float()
            adam.zero_grad()
            model(signals, labels=labels, pos_weight=pos_weight).loss.backward()
            adam.step()
    state: dict[str, torch.Tensor] = model.state_dict()
    return state


@pytest.mark.reference
def test_three_steps_of_pretraining_give_the_weights_of_fairseq_signals(
    reference_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = reference_data / "fairseq_golden"
    found, of_torch = (
        _pretrain_three_steps(golden, adam, monkeypatch)
        for adam in (FairseqAdam, torch.optim.AdamW)
    )
    assert found.numel() == 97_456
    assert found.max() < 1e-6
    assert (of_torch > 1e-6).sum() > 40_000


def _pretrain_three_steps(
    golden: Path, optimizer: type[torch.optim.AdamW], patch: pytest.MonkeyPatch
) -> torch.Tensor:
    """Pre-train as ``pretraining/``; give how far each weight is from the golden one."""
    state = torch.load(golden / "pretrained_tiny.pt", weights_only=True)["model"]
    model = EcgFmForPreTraining(GOLDEN_CONFIG, GOLDEN_OBJECTIVE)
    model.load_state_dict(map_pretraining_weights(state, model.config, where="golden"))
    model.train()
    names = ("source", "lead_kept", "mask_indices", "patient_id", "segment")
    source, kept, mask, patient, segment = (
        np.load(golden / "pretraining" / f"{name}.npy") for name in names
    )
    # The first segments of all pairs, then the second ones.
    order = np.lexsort((np.arange(8), patient, segment))
    signals = torch.from_numpy((source.astype(np.float32) * kept[:, :, None])[order])
    mask = torch.from_numpy(mask[order].astype(bool))
    n_masked = int(mask[0].sum())
    adam = optimizer(model.parameters(), lr=5e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01)
    noise = np.load(golden / "pretraining" / "train_noise.npz")
    for step in range(3):
        gumbel = noise[f"gumbel_{step}"].reshape(8, n_masked, 2, 16)[order]
        patch.setattr(functional, "gumbel_softmax", partial(_choose, torch.from_numpy(gumbel)))
        negatives = noise[f"neg_idxs_{step}"].reshape(8, n_masked, 100)
        negatives = torch.from_numpy((negatives - n_masked * np.arange(8)[:, None, None])[order])
        model.set_step(step)
        adam.zero_grad()
        model(signals, mask, negatives, torch.from_numpy(patient[order[:4]])).loss.backward()
        adam.step()
    with np.load(golden / "pretraining" / "parameters_after_3_steps.npz") as after:
        state |= {name: torch.from_numpy(after[name]) for name in after}
    expected = map_pretraining_weights(state, model.config, where="golden")
    found = model.state_dict()
    return torch.cat([(found[name] - expected[name]).abs().ravel() for name in found])


def _choose(gumbel: torch.Tensor, logits: torch.Tensor, *, tau: float, hard: bool) -> torch.Tensor:
    """Choose as `gumbel_softmax`, with given noise."""
    soft = ((logits + gumbel) / tau).softmax(-1)
    chosen = functional.one_hot(soft.argmax(-1), soft.shape[-1]).float()
    return chosen - soft.detach() + soft
