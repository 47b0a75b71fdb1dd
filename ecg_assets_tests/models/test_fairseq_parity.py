"""The model against outputs of fairseq-signals itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm import EcgFmForClassification
from ecg_assets.models.ecg_fm_config import EcgFmConfig, ecg_fm_config
from ecg_assets.models.fairseq_names import rename_finetuned
from ecg_assets.models.fold import fold_lead_one

pytestmark = pytest.mark.reference

# What numpy scalars in `extra_state` need; nothing here can run code.
NUMPY_TYPES = [
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np.ndarray,
    np.dtype,
    *{type(np.dtype(kind)) for kind in ("f4", "f8", "i8", "u4", "b1")},
]


@pytest.fixture(scope="module")
def golden(reference_data: Path) -> Path:
    return reference_data / "fairseq_golden"


@pytest.fixture()
def model(golden: Path) -> EcgFmForClassification:
    with torch.serialization.safe_globals(NUMPY_TYPES):
        checkpoint = torch.load(golden / "finetuned_tiny.pt", weights_only=True)
    config = ecg_fm_config("tiny", n_channels=12, n_labels=17).to_dict()
    # The golden model has four convolutions, as ECG-FM.
    config |= {"conv_dim": [32] * 4, "conv_kernel": [2] * 4, "conv_stride": [2] * 4}
    config["num_feat_extract_layers"] = 4
    model = EcgFmForClassification(EcgFmConfig.from_dict(config))
    model.load_state_dict(rename_finetuned(checkpoint["model"]), strict=True)
    model.eval()
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


def test_a_parameter_of_another_model_is_refused(golden: Path) -> None:
    shapes = json.loads((golden / "state_dict_shapes.json").read_text())["pretrained"]
    with pytest.raises(CheckpointError, match="Unexpected parameter 'mask_emb'"):
        rename_finetuned({name: torch.zeros(1) for name in shapes})
