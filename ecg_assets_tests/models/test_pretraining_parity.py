"""Pre-training against outputs of fairseq-signals itself."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_fm.config import EcgFmConfig, ecg_fm_config_of
from ecg_assets.models.ecg_fm.pretraining import EcgFmForPreTraining, map_pretraining_weights
from ecg_assets.models.ecg_fm.sizes import SIZES
from ecg_assets.models.pretraining.config import pretraining_config
from ecg_assets.models.pretraining.names import fairseq_heads
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.models.pretraining.output import PretrainingOutput

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


@pytest.fixture(scope="module")
def config() -> EcgFmConfig:
    # The golden model has four convolutions, as ECG-FM.
    convolutions = {"conv_dim": (32,) * 4, "conv_kernel": (2,) * 4, "conv_stride": (2,) * 4}
    return pretraining_config(
        ecg_fm_config_of({**SIZES["tiny"], **convolutions}, n_channels=12), OBJECTIVE
    )


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
