"""Pre-training against outputs of fairseq-signals itself."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm.config import EcgFmConfig, ecg_fm_config, ecg_fm_config_of
from ecg_assets.models.ecg_fm.fairseq_file import fairseq_names
from ecg_assets.models.ecg_fm.family import SIZES
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.ecg_fm.pretraining import EcgFmForPreTraining, map_pretraining_weights
from ecg_assets.models.pretraining.model import PretrainingOutput, pretraining_config
from ecg_assets.models.pretraining.names import fairseq_heads
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.training.pretrain.presets import PRESETS

pytestmark = pytest.mark.reference

# latent_vars and final_dim of the golden checkpoint; all else is the published setting.
OBJECTIVE = Objective(code_vectors=16, code_width=32)
HEADS = ("mask_emb", "quantizer", "project_q", "final_proj")


@pytest.fixture(scope="module")
def golden(reference_data: Path) -> Path:
    return reference_data / "fairseq_golden"


@pytest.fixture(scope="module")
def state(golden: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(golden / "pretrained_tiny.pt", weights_only=True)
    found: dict[str, torch.Tensor] = checkpoint["model"]
    return found


@pytest.fixture(scope="module", params=["direct", "fft"])
def config(request: pytest.FixtureRequest) -> EcgFmConfig:
    # The golden model has four convolutions, as ECG-FM.
    convolutions = {"conv_dim": (32,) * 4, "conv_kernel": (2,) * 4, "conv_stride": (2,) * 4}
    encoder = ecg_fm_config_of({**SIZES["tiny"], **convolutions}, n_channels=12)
    encoder.positional_convolution = request.param
    return pretraining_config(encoder, OBJECTIVE)


@pytest.fixture(scope="module")
def output(golden: Path, state: dict[str, torch.Tensor], config: EcgFmConfig) -> PretrainingOutput:
    model = EcgFmForPreTraining(config, OBJECTIVE).eval()
    weights = map_pretraining_weights(state, config, where="golden")
    model.load_state_dict(weights, strict=True)
    mask = torch.from_numpy(np.load(golden / "pretrain_mask_indices.npy"))
    signals = torch.from_numpy(np.load(golden / "input_5s.npy"))
    with torch.inference_mode():
        output = model(signals, mask, _negatives(len(mask), int(mask[0].sum())), torch.arange(2))
    assert isinstance(output, PretrainingOutput)
    return output


def _negatives(n_segments: int, n_masked: int) -> torch.Tensor:
    """Draw as fairseq-signals does, with the seed that its outputs were made with."""
    generator = torch.Generator().manual_seed(18)
    drawn = torch.randint(n_masked - 1, (n_segments, n_masked, 100), generator=generator)
    return drawn + (drawn >= torch.arange(n_masked)[:, None])


def test_tokens_of_masked_signals_are_those_of_fairseq_signals(
    output: PretrainingOutput, golden: Path
) -> None:
    expected = np.load(golden / "pretrain_features.npy")
    np.testing.assert_allclose(output.hidden.numpy(), expected, atol=1e-5, rtol=0)


def test_contrastive_logits_are_those_of_fairseq_signals(
    output: PretrainingOutput, golden: Path
) -> None:
    expected = np.load(golden / "pretrain_logits_x.npy").transpose(1, 2, 0)
    assert np.isinf(expected).any()
    np.testing.assert_allclose(output.logits.numpy(), expected, atol=1e-5, rtol=0)


def test_loss_terms_are_those_of_fairseq_signals(output: PretrainingOutput, golden: Path) -> None:
    expected = json.loads((golden / "pretrain_outputs.json").read_text())
    found = {
        "features_pen": output.feature_penalty.item(),
        "prob_perplexity": output.probability_perplexity.item(),
        "code_perplexity": output.code_perplexity.item(),
        "num_vars": OBJECTIVE.n_codes,
    }
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-6)
    logits = np.load(golden / "pretrain_logits_x.npy").astype(np.float64)
    cross_entropy = (np.log(np.exp(logits).sum(axis=0)) - logits[0]).mean()
    assert output.contrastive.item() == pytest.approx(cross_entropy, abs=1e-5)
    diversity = (32 - expected["prob_perplexity"]) / 32
    assert output.diversity.item() == pytest.approx(diversity, abs=1e-6)


def test_the_heads_go_back_to_their_names(
    state: dict[str, torch.Tensor], config: EcgFmConfig
) -> None:
    heads = fairseq_heads(map_pretraining_weights(state, config, where="golden"))
    assert set(heads) == {name for name in state if name.startswith(HEADS)}
    assert all(heads[name].equal(state[name]) for name in heads)


@pytest.mark.parametrize("name", ["target_glu.0.weight", "encoder.layers.9.fc1.bias"])
def test_a_weight_of_another_model_is_named(
    name: str, state: dict[str, torch.Tensor], config: EcgFmConfig
) -> None:
    with pytest.raises(CheckpointError, match=re.escape(name)):
        map_pretraining_weights({**state, name: torch.zeros(1)}, config, where="golden")


# Its criterion on four pairs of three patients, without dropout: a pass in evaluation mode, and
# three steps of training with its Gumbel noise.

WITHOUT_DROPOUT = Objective(code_vectors=16, code_width=32, dropout=0)
FIRST_OF_ALL_THEN_SECOND = [0, 2, 4, 6, 1, 3, 5, 7]
TERMS = ("contrastive", "diversity", "feature_penalty", "cmsc")


class Criterion:
    """Its batch in our order, and what it gave."""

    def __init__(self, golden: Path) -> None:
        self.folder = golden / "pretraining"
        self.measured: dict[str, Any] = json.loads((self.folder / "losses.json").read_text())
        assert np.array_equal(self._load("segment"), [0, 1] * 4)
        signals = self._load("source").astype(np.float32) * self._load("lead_kept")[:, :, None]
        self.signals = self._sort(signals)
        self.mask = self._sort(self._load("mask_indices"))
        self.patients = torch.from_numpy(self._load("patient_id")[::2])

    def run(self, model: EcgFmForPreTraining, file: str, negatives: str) -> PretrainingOutput:
        positions = np.load(self.folder / file)[negatives].reshape(8, -1, 100).astype(np.int64)
        within = positions - positions.shape[1] * np.arange(8)[:, None, None]
        output = model(self.signals, self.mask, self._sort(within), self.patients)
        assert isinstance(output, PretrainingOutput)
        return output

    def gumbel(self, step: int) -> torch.Tensor:
        noise = np.load(self.folder / "train_noise.npz")[f"gumbel_{step}"]
        return self._sort(noise.reshape(8, -1, 2, 16))

    def _load(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy")
        return array

    @staticmethod
    def _sort(segments: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(segments[FIRST_OF_ALL_THEN_SECOND])


@pytest.fixture(scope="module")
def criterion(golden: Path) -> Criterion:
    return Criterion(golden)


@pytest.fixture
def pretrained(state: dict[str, torch.Tensor], config: EcgFmConfig) -> EcgFmForPreTraining:
    model = EcgFmForPreTraining(pretraining_config(config, WITHOUT_DROPOUT), WITHOUT_DROPOUT)
    model.load_state_dict(map_pretraining_weights(state, config, where="golden"))
    return model


def _terms(output: PretrainingOutput) -> dict[str, float]:
    """Terms times their weights, and the perplexities."""
    weights = WITHOUT_DROPOUT.weights
    return {name: weights[name] * getattr(output, name).item() for name in TERMS} | {
        "loss": output.loss.item(),
        "prob_perplexity": output.probability_perplexity.item(),
        "code_perplexity": output.code_perplexity.item(),
    }


def _golden_terms(measured: dict[str, Any]) -> dict[str, float]:
    """Give the same as its criterion logs them, per masked token."""
    terms, n_masked = measured["terms"], measured["sample_size"]
    return {name: terms[f"loss_{number}"] / n_masked for number, name in enumerate(TERMS)} | {
        "loss": measured["loss"] / n_masked,
        **{name: terms[name] for name in ("prob_perplexity", "code_perplexity")},
    }


def _gradient_norms(model: EcgFmForPreTraining) -> dict[str, float]:
    return {
        name: float(torch.linalg.vector_norm(parameter.grad))
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def test_loss_with_cmsc_and_its_gradients_are_those_of_fairseq_signals(
    pretrained: EcgFmForPreTraining,
    criterion: Criterion,
    state: dict[str, torch.Tensor],
    config: EcgFmConfig,
) -> None:
    output = criterion.run(pretrained.eval(), "eval_negatives.npz", "neg_idxs")
    measured = criterion.measured["eval"]
    assert _terms(output) == pytest.approx(_golden_terms(measured), rel=0, abs=2e-6)
    pooled = np.load(criterion.folder / "eval_pooled_features.npy")[FIRST_OF_ALL_THEN_SECOND]
    np.testing.assert_allclose(output.hidden.detach().mean(1).numpy(), pooled, rtol=0, atol=1e-6)
    torch.autograd.backward(output.loss)
    # Each weight of fairseq-signals' says what its gradient is; the names are then ours.
    norms = {
        name: torch.full_like(state[name], norm) for name, norm in measured["grad_norm"].items()
    }
    mapped = map_pretraining_weights(norms, config, where="golden")
    expected = {name: value.flatten()[0].item() for name, value in mapped.items()}
    assert _gradient_norms(pretrained) == pytest.approx(expected, rel=0, abs=1e-6)


@pytest.mark.parametrize("is_its_adam", [True, False])
def test_training_steps_follow_fairseq_signals_but_for_its_adam_s_epsilon(
    is_its_adam: bool,
    pretrained: EcgFmForPreTraining,
    criterion: Criterion,
    config: EcgFmConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch corrects the bias of what epsilon is added to, fairseq-signals does not."""
    values: dict[str, Any] = {"lr": 5e-5, "betas": (0.9, 0.98), "weight_decay": 0.01}
    adam = torch.optim.AdamW(pretrained.train().parameters(), eps=1e-6, **values)
    atol = 1e-5 if is_its_adam else 1e-3
    for step, measured in enumerate(criterion.measured["train_steps"]):
        noise = criterion.gumbel(step)
        # What torch draws its Gumbel noise from.
        monkeypatch.setattr(
            torch.Tensor, "exponential_", lambda self, noise=noise: self.copy_(torch.exp(-noise))
        )
        if is_its_adam:
            adam.param_groups[0]["eps"] = 1e-6 / math.sqrt(1 - 0.98 ** (step + 1))
        pretrained.set_step(step)
        assert pretrained.quantizer.temperature == measured["temperature"]
        adam.zero_grad()
        output = criterion.run(pretrained, "train_noise.npz", f"neg_idxs_{step}")
        torch.autograd.backward(output.loss)
        assert _terms(output) == pytest.approx(_golden_terms(measured), rel=0, abs=atol)
        norm = math.hypot(*_gradient_norms(pretrained).values())
        assert norm == pytest.approx(measured["grad_norm_total"], rel=0, abs=atol)
        adam.step()
    after = np.load(criterion.folder / "parameters_after_3_steps.npz")
    weights = {name: torch.from_numpy(after[name]) for name in after.files}
    expected = map_pretraining_weights(weights, config, where="golden")
    found = pretrained.state_dict()
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name].numpy(), value.numpy(), rtol=0, atol=1e-6 if is_its_adam else 7e-5
        )


def test_models_of_ecg_fms_size_have_fairseq_signals_names_shapes_and_parameters(
    golden: Path,
) -> None:
    published = json.loads((golden / "base_state_dict.json").read_text())
    config = ecg_fm_config("base", n_channels=12, n_labels=17)
    with torch.device("meta"):
        classifier = EcgFmForClassification(config)
        pretraining = EcgFmForPreTraining.build(config, PRESETS["ecg-fm-pretrain"].objective)
    weights = pretraining.state_dict()
    found = {
        "classifier_17": _by_their_names(classifier.state_dict(), config, finetuned=True),
        "pretrained": _by_their_names(weights, config, finetuned=False) | fairseq_heads(weights),
    }
    for kind, expected in published.items():
        described = {
            name: {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
            for name, value in found[kind].items()
        }
        assert described == expected["state_dict"]
        n_parameters = sum(value.numel() for value in found[kind].values())
        assert n_parameters == expected["total_parameters"]


def _by_their_names(
    weights: dict[str, torch.Tensor], config: EcgFmConfig, *, finetuned: bool
) -> dict[str, torch.Tensor]:
    names = fairseq_names(config, finetuned=finetuned)
    return {theirs: weights[ours] for theirs, ours in names.items()}
