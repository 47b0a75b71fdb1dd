"""The model against outputs of fairseq-signals itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecg_assets.models import EcgFm, EcgFmForClassification, import_fairseq, load_checkpoint
from ecg_assets.models.fold import fold_lead_one

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def golden(reference_data: Path) -> Path:
    return reference_data / "fairseq_golden"


@pytest.fixture(params=["file", "folder"])
def model(golden: Path, tmp_path: Path, request: pytest.FixtureRequest) -> EcgFmForClassification:
    path = golden / "finetuned_tiny.pt"
    if request.param == "folder":
        path = import_fairseq(path, tmp_path / "folder")
    model = load_checkpoint(path)
    assert isinstance(model, EcgFmForClassification)
    return model


def _signals(golden: Path, name: str) -> torch.Tensor:
    signals = torch.from_numpy(np.load(golden / f"{name}.npy").astype(np.float32))
    return signals.expand(-1, 12, -1).contiguous()


def _expected(golden: Path, name: str) -> NDArray[np.float32]:
    array: NDArray[np.float32] = np.load(golden / f"{name}.npy")
    return array


@pytest.mark.parametrize("case", ["5s", "10s", "lead1x12"])
@torch.inference_mode()
def test_outputs_are_those_of_fairseq_signals(
    case: str, model: EcgFmForClassification, golden: Path
) -> None:
    signals = _signals(golden, f"input_{case}")
    tokens = model.encoder(signals).numpy()
    np.testing.assert_allclose(tokens, _expected(golden, f"encoder_out_{case}"), atol=1e-5, rtol=0)
    logits = model(signals).logits.numpy()
    np.testing.assert_allclose(logits, _expected(golden, f"logits_{case}"), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_padded_signals_give_fairseq_signals_logits(
    model: EcgFmForClassification, golden: Path
) -> None:
    signals = _signals(golden, "input_10s")
    lengths = torch.tensor(json.loads((golden / "padded_lengths.json").read_text()))
    for signal, length in zip(signals, lengths.tolist(), strict=True):
        signal[:, length:] = 0
    logits = model(signals, lengths=lengths).logits.numpy()
    np.testing.assert_allclose(logits, _expected(golden, "logits_padded"), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_folded_model_reads_lead_one_once_with_the_same_logits(
    model: EcgFmForClassification, golden: Path
) -> None:
    once = torch.from_numpy(np.load(golden / "input_lead1x12.npy"))
    logits = fold_lead_one(model)(once).logits.numpy()
    np.testing.assert_allclose(logits, _expected(golden, "logits_lead1x12"), atol=1e-5, rtol=0)


def test_three_adam_steps_follow_fairseq_signals(
    model: EcgFmForClassification, golden: Path
) -> None:
    model.freeze_convolutions()
    signals = _signals(golden, "train_input")
    labels = torch.from_numpy(np.load(golden / "train_labels.npy"))
    pos_weight = torch.from_numpy(np.load(golden / "pos_weight.npy"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adam = torch.optim.AdamW(trained, lr=5e-5, betas=(0.9, 0.98), eps=1e-8, weight_decay=0)
    losses = []
    for batch in (slice(0, 8), slice(8, 16), slice(16, 24)):
        adam.zero_grad()
        loss = model(signals[batch], labels=labels[batch], pos_weight=pos_weight).loss
        loss.backward()
        adam.step()
        losses.append(loss.item())
    np.testing.assert_allclose(losses, _expected(golden, "train_losses"), rtol=1e-5)
    with torch.inference_mode():
        logits = model(_signals(golden, "input_5s")).logits.numpy()
    np.testing.assert_allclose(
        logits, _expected(golden, "logits_5s_after_3_steps"), atol=2e-5, rtol=0
    )


@torch.inference_mode()
def test_a_pretrained_encoder_is_the_one_that_was_fine_tuned(
    model: EcgFmForClassification, golden: Path
) -> None:
    """Its frozen convolutions are bit for bit those of the fine-tuned file."""
    pretrained = load_checkpoint(golden / "pretrained_tiny.pt")
    assert isinstance(pretrained, EcgFm)
    signals = _signals(golden, "input_5s")
    assert pretrained(signals).last_hidden_state.shape == (4, 156, 64)
    torch.testing.assert_close(
        pretrained.encoder.feature_extractor(signals),
        model.encoder.feature_extractor(signals),
        rtol=0,
        atol=0,
    )
