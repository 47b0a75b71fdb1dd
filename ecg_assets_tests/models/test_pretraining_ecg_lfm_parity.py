"""ECG-LFM's pre-training against outputs of ECG-LFM itself."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from ecg_assets.errors import CheckpointError
from ecg_assets.models.ecg_lfm.config import EcgLfmConfig, ecg_lfm_config, ecg_lfm_config_of
from ecg_assets.models.ecg_lfm.pretraining import (
    EcgLfmForPreTraining,
    map_ecg_lfm_pretraining_weights,
)
from ecg_assets.models.pretraining.model import PretrainingOutput
from ecg_assets.models.pretraining.names import fairseq_heads
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.models.weights import load_weights
from ecg_assets.training.pretrain.presets import PRESETS

pytestmark = pytest.mark.reference

HEADS = ("mask_emb", "quantizer", "project_q", "final_proj", "mlm_proj")
Arrays = dict[str, NDArray[Any]]
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def golden(reference_data: Path) -> Path:
    return reference_data / "ecglfm_golden"


@pytest.fixture(scope="module")
def state(golden: Path) -> State:
    found: State = torch.load(golden / "pretrained_tiny.pt", weights_only=True)["model"]
    return found


@pytest.fixture(scope="module")
def arrays(golden: Path) -> Arrays:
    with np.load(golden / "pretrain.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def settings(golden: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((golden / "tiny_config.json").read_text())["config"]
    return found


@pytest.fixture(scope="module")
def objective(settings: dict[str, Any]) -> Objective:
    """As it was published: the contrast between patients reads the convolutions' features."""
    return Objective(
        n_negatives=settings["num_negatives"],
        code_vectors=settings["latent_vars"],
        code_groups=settings["latent_groups"],
        code_width=settings["latent_dim"],
        compared_width=settings["final_dim"],
        masked_prediction_weight=1.0,
        contrastive_layer=settings["w2v2_encoder_layers"],
        cmsc_of="features",
    )


@pytest.fixture(scope="module")
def config(settings: dict[str, Any]) -> EcgLfmConfig:
    shape = {
        "hidden_size": settings["encoder_embed_dim"],
        "num_hidden_layers": settings["encoder_layers"],
        "num_attention_heads": settings["encoder_attention_heads"],
        "intermediate_size": settings["encoder_ffn_embed_dim"],
        "conv_dim": (16,) * 4,
        "conv_kernel": (2,) * 4,
        "conv_stride": (2,) * 4,
        "conv_depthwise_kernel_size": settings["depthwise_conv_kernel_size"],
    }
    return ecg_lfm_config_of(shape, n_channels=12)


@pytest.fixture(scope="module")
def model(state: State, config: EcgLfmConfig, objective: Objective) -> EcgLfmForPreTraining:
    weights = map_ecg_lfm_pretraining_weights(state, config, where="golden")
    return load_weights(
        lambda: EcgLfmForPreTraining.build(config, objective), weights, where="golden"
    )


@pytest.fixture(scope="module")
def output(model: EcgLfmForPreTraining, arrays: Arrays, golden: Path) -> PretrainingOutput:
    patients = json.loads((golden / "pretrain_losses.json").read_text())["patient_id"]
    mask = torch.from_numpy(arrays["mask_indices"])
    negatives = torch.from_numpy(arrays["negative_indices_within_masked"]).long()
    n_masked = int(mask[0].sum())
    with torch.inference_mode():
        output = model(
            torch.from_numpy(arrays["x"]),
            mask,
            negatives.reshape(len(mask), n_masked, -1),
            torch.tensor(patients[: len(mask) // 2]),
        )
    assert isinstance(output, PretrainingOutput)
    return output


def test_contrastive_logits_are_those_of_ecg_lfm(output: PretrainingOutput, arrays: Arrays) -> None:
    expected = arrays["contrastive_logits"].transpose(1, 2, 0)
    assert np.isinf(expected).any()
    np.testing.assert_allclose(output.logits.numpy(), expected, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_masked_predictions_are_those_of_ecg_lfm(
    output: PretrainingOutput, model: EcgLfmForPreTraining, arrays: Arrays
) -> None:
    masked = output.hidden[torch.from_numpy(arrays["mask_indices"])]
    found = model.predict_codes(masked).reshape(arrays["mlm_logits"].shape)
    np.testing.assert_allclose(found.numpy(), arrays["mlm_logits"], atol=1e-5, rtol=0)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(arrays["mlm_logits"]).flatten(0, 1),
        torch.from_numpy(arrays["mlm_targets"]).flatten(),
    )
    assert output.masked_prediction.item() == pytest.approx(expected.item(), abs=1e-5)


def test_each_loss_is_that_of_ecg_lfm(
    output: PretrainingOutput, objective: Objective, golden: Path
) -> None:
    """Its log holds sums over masked tokens, which for a mean of all are the mean times them."""
    losses = json.loads((golden / "pretrain_losses.json").read_text())
    weighted = {
        name: getattr(output, name).item() * weight * losses["sample_size"]
        for name, weight in objective.weights.items()
    }
    found = {
        "loss_w2v2": weighted["contrastive"],
        "loss_mlm": weighted["masked_prediction"],
        "loss_0": weighted["contrastive"] + weighted["masked_prediction"],
        "loss_1": weighted["diversity"],
        "loss_2": weighted["feature_penalty"],
        "loss_3": weighted["cmsc"],
        "loss": output.loss.item() * losses["sample_size"],
        "prob_perplexity": output.probability_perplexity.item(),
        "code_perplexity": output.code_perplexity.item(),
    }
    assert found == pytest.approx({name: losses["log"][name] for name in found}, rel=1e-5)


def test_the_heads_go_back_to_their_names(state: State, config: EcgLfmConfig) -> None:
    heads = fairseq_heads(map_ecg_lfm_pretraining_weights(state, config, where="golden"))
    assert set(heads) == {name for name in state if name.startswith(HEADS)}
    assert all(heads[name].equal(state[name]) for name in heads)


@pytest.mark.parametrize("name", ["target_glu.0.weight", "encoder.layers.9.ffn1.w_1.bias"])
def test_a_weight_of_another_model_is_named(name: str, state: State, config: EcgLfmConfig) -> None:
    with pytest.raises(CheckpointError, match=re.escape(name)):
        map_ecg_lfm_pretraining_weights({**state, name: torch.zeros(1)}, config, where="golden")


def test_a_checkpoint_without_masked_prediction_is_refused(
    state: State, config: EcgLfmConfig
) -> None:
    rest = {name: value for name, value in state.items() if not name.startswith("mlm_proj")}
    with pytest.raises(CheckpointError, match=r"lack \['mlm_proj\.bias', 'mlm_proj\.weight'\]"):
        map_ecg_lfm_pretraining_weights(rest, config, where="golden")


def test_the_preset_builds_the_published_model(golden: Path) -> None:
    published = json.loads((golden / "state_dict_shapes_published.json").read_text())["state_dict"]
    config = ecg_lfm_config("base", n_channels=12, n_labels=1)
    with torch.device("meta"):
        model = EcgLfmForPreTraining.build(config, PRESETS["ecg-lfm-pretrain"].objective)
    heads = {name: list(value.shape) for name, value in fairseq_heads(model.state_dict()).items()}
    assert heads == {name: published[name] for name in published if name.startswith(HEADS)}
    # The published model carries 16,781,568 parameters that it never uses.
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert n_parameters == 626_812_672 - 16_781_568
