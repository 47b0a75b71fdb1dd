"""Fine-tuning against three Adam steps of fairseq-signals itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ecg_assets.models.checkpoint import load_trained
from ecg_assets.models.ecg_fm.fairseq_import import import_fairseq
from ecg_assets.training.engine.segments import EpochShuffle
from ecg_assets.training.engine.training import EpochTrainer
from ecg_assets.training.finetune.finetune import finetune
from ecg_assets.training.finetune.request import FinetuneRequest
from ecg_assets_tests.training.finetune.golden_data import SPEC, golden_data

pytestmark = pytest.mark.reference


def test_three_steps_have_the_losses_gradients_and_outputs_of_fairseq_signals(
    reference_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = reference_data / "fairseq_golden"
    losses, norms = [], []
    step = EpochTrainer.training_step

    def recorded_step(trainer: EpochTrainer, model: torch.nn.Module, *rest: Any) -> Tensor:
        loss: Tensor = step(trainer, model, *rest)
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        losses.append(loss.item())
        norms.append(torch.stack([gradient.norm() for gradient in gradients]).norm().item())
        return loss

    def in_order(self: EpochShuffle) -> Iterator[int]:
        return iter(range(len(self)))

    monkeypatch.setattr(EpochTrainer, "training_step", recorded_step)
    monkeypatch.setattr(EpochShuffle, "__iter__", in_order)
    # The golden steps have the preset's Adam and frozen convolutions, but no dropout.
    request = FinetuneRequest.from_preset(
        "ecg-fm-lead-i",
        manifest_folder=tmp_path,
        shard_folder=tmp_path,
        cache_folder=tmp_path,
        output_folder=tmp_path / "checkpoints",
        inputs={"manifests": "golden"},
        # The golden signals are fed as they stand: that is what these weights read here.
        pretrained=import_fairseq(golden / "finetuned_tiny.pt", tmp_path / "imported", spec=SPEC),
        device="cpu",
        data_location="device",
        activation_dropout=0.0,
        epochs=1,
        batch_size=8,
    )
    folder = finetune(request, lambda _: None, open_data=lambda _: golden_data(golden))
    np.testing.assert_allclose(losses, np.load(golden / "train_losses.npy"), rtol=0, atol=1e-5)
    np.testing.assert_allclose(norms, np.load(golden / "train_grad_norms.npy"), rtol=0, atol=1e-5)
    signals = torch.from_numpy(np.load(golden / "input_5s.npy").astype(np.float32))
    with torch.inference_mode():
        logits = load_trained(folder).model(signals).logits.numpy()
    expected = np.load(golden / "logits_5s_after_3_steps.npy")
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    assert np.abs(expected - np.load(golden / "logits_5s.npy")).max() > 1e-3
