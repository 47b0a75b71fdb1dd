"""The model against outputs of fairseq-signals itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecg_assets.models import EcgFm, EcgFmForClassification, import_fairseq, load_checkpoint
from ecg_assets.models.ecg_fm.fairseq_file import map_weights
from ecg_assets.models.fairseq_weights import MappedWeights
from ecg_assets.models.fold import fold_lead_one

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def golden(reference_data: Path) -> Path:
    return reference_data / "fairseq_golden"


@pytest.fixture(params=["file", "folder", "fft"])
def model(golden: Path, tmp_path: Path, request: pytest.FixtureRequest) -> EcgFmForClassification:
    path = golden / "finetuned_tiny.pt"
    if request.param == "folder":
        path = import_fairseq(path, tmp_path / "folder")
    model = load_checkpoint(path)
    assert isinstance(model, EcgFmForClassification)
    # The golden model is small, so that its positions are computed directly unless asked.
    model.config.positional_convolution = "fft" if request.param == "fft" else "direct"
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


# What its trainer makes of pretrained_tiny.pt in three updates.


@pytest.fixture(scope="module")
def trainer(golden: Path) -> Path:
    return golden / "trainer"


@pytest.fixture
def trained(trainer: Path) -> EcgFmForClassification:
    model = load_checkpoint(trainer / "checkpoint_best.pt")
    assert isinstance(model, EcgFmForClassification)
    return model


@torch.inference_mode()
def test_its_trained_checkpoint_gives_its_logits(
    trained: EcgFmForClassification, golden: Path, trainer: Path
) -> None:
    for case in ("5s", "10s"):
        logits = trained(_signals(golden, f"input_{case}")).logits.numpy()
        np.testing.assert_allclose(logits, _expected(trainer, f"logits_{case}"), atol=1e-6, rtol=0)
    padded = json.loads((trainer / "padded.json").read_text())
    lengths, signals = torch.tensor(padded["lengths"]), _signals(golden, "input_10s")
    for signal, length in zip(signals, padded["lengths"], strict=True):
        signal[:, length:] = 0
    is_padded = trained.encoder.find_padded_tokens(lengths, signals.shape[-1])
    assert (~is_padded).sum(dim=1).tolist() == padded["tokens"]
    logits = trained(signals, lengths=lengths).logits.numpy()
    np.testing.assert_allclose(logits, _expected(trainer, "logits_padded"), atol=1e-6, rtol=0)


def _initial(golden: Path, trainer: Path, model: EcgFmForClassification) -> MappedWeights:
    """Weights that its trainer began with: the pretrained encoder and a head of its own."""
    encoder = torch.load(golden / "pretrained_tiny.pt", weights_only=True)["model"]
    head = np.load(trainer / "head_initial.npz")
    weights = {f"encoder.{name}": value for name, value in encoder.items()}
    weights |= {name: torch.from_numpy(head[name]) for name in head.files}
    return map_weights(weights, model.config, finetuned=True, where="golden")


@pytest.mark.parametrize("is_its_adam", [True, False])
def test_three_updates_of_its_trainer_give_its_checkpoint(
    is_its_adam: bool, trained: EcgFmForClassification, golden: Path, trainer: Path
) -> None:
    """torch corrects the bias of what Adam's epsilon is added to, fairseq-signals does not."""
    expected = {name: value.clone() for name, value in trained.state_dict().items()}
    initial = _initial(golden, trainer, trained)
    trained.load_state_dict(initial.weights)
    trained.train().freeze_convolutions()
    for module in trained.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0  # the call's activation_dropout
    batches = np.load(trainer / "batches.npz")
    lines = (trainer / "log.txt").read_text().splitlines()
    logged = [json.loads(line.split(" - ")[1]) for line in lines if "[train_inner]" in line]
    (gradients,) = json.loads((trainer / "order.json").read_text())["grad_norms"]
    parameters = dict(trained.named_parameters())
    trainable = [parameter for parameter in parameters.values() if parameter.requires_grad]
    adam = torch.optim.AdamW(trainable, lr=5e-5, betas=(0.9, 0.98), eps=1e-8, weight_decay=0)
    for step, line in enumerate(logged):
        if is_its_adam:
            adam.param_groups[0]["eps"] = 1e-8 / math.sqrt(1 - 0.98 ** (step + 1))
        adam.zero_grad()
        output = trained(
            torch.from_numpy(batches[f"source_{step}"].astype(np.float32)),
            labels=torch.from_numpy(batches[f"labels_{step}"]).float(),
            pos_weight=0.5 + 0.25 * torch.arange(17),
        )
        output.loss.backward()
        norms = {
            fairseq: float(torch.linalg.vector_norm(gradient))
            for fairseq, name in initial.names.items()
            if (gradient := parameters[name].grad) is not None
        }
        if step == 0:
            given = {name: norm for name, norm in gradients.items() if norm is not None}
            assert norms == pytest.approx(given, rel=0, abs=1e-6)
        total = math.hypot(*norms.values())
        # It logs bits, and three decimals.
        found = [output.loss.item() / math.log(2), total]
        assert found == pytest.approx([float(line["loss"]), float(line["gnorm"])], rel=0, abs=6e-4)
        adam.step()
    for name, value in expected.items():
        np.testing.assert_allclose(
            trained.state_dict()[name], value, rtol=0, atol=1e-6 if is_its_adam else 5e-5
        )
