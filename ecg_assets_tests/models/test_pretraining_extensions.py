"""What w2v-BERT's pre-training adds: another layer, masked prediction, another CMSC."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.pretraining import EcgFmForPreTraining
from ecg_assets.models.ecg_lfm.config import ecg_lfm_config
from ecg_assets.models.ecg_lfm.pretraining import EcgLfmForPreTraining
from ecg_assets.models.pretraining.losses import masked_prediction_loss
from ecg_assets.models.pretraining.model import EcgForPreTraining
from ecg_assets.models.pretraining.names import fairseq_heads
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.training.engine.training import checkpoint_activations

SMALL = Objective(
    code_vectors=8,
    code_groups=1,
    code_width=16,
    compared_width=24,
    masked_prediction_weight=1.0,
    contrastive_layer=1,
    dropout=0.0,
)
FIRST_LAYER = "encoder.encoder.layers.0."
N_MASKED = 12


def _model(objective: Objective = SMALL) -> EcgLfmForPreTraining:
    torch.manual_seed(0)
    return EcgLfmForPreTraining.build(ecg_lfm_config("tiny", n_channels=12, n_labels=1), objective)


def _batch(model: EcgForPreTraining) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    mask = torch.zeros(6, model.count_tokens(1250), dtype=torch.bool)
    mask[:, 3 : 3 + N_MASKED] = True
    return {
        "input_values": torch.randn(6, 12, 1250, generator=random),
        "mask": mask,
        "negatives": torch.randint(N_MASKED, (6, N_MASKED, 7), generator=random),
        "patients": torch.tensor([4, 7, 5]),
    }


def _trained_by(term: str, objective: Objective) -> set[str]:
    """Name the weights that a term gives a gradient."""
    model = _model(objective).train()
    getattr(model(**_batch(model)), term).backward()
    return {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_the_contrast_of_patients_trains_the_encoder() -> None:
    trained = _trained_by("cmsc", SMALL)
    for layer in ("encoder.encoder.layers.0.", "encoder.encoder.layers.1."):
        assert f"{layer}self_attn.linear_q.weight" in trained
        assert f"{layer}ffn1.intermediate_dense.weight" in trained


def test_in_the_published_form_it_trains_nothing_behind_the_projection() -> None:
    trained = _trained_by("cmsc", SMALL.changed(cmsc_of="features"))
    assert "encoder.feature_projection.projection.weight" in trained
    assert not [name for name in trained if name.startswith("encoder.encoder.")]


def test_the_contrastive_loss_trains_no_layer_behind_its_own() -> None:
    trained = _trained_by("contrastive", SMALL)
    assert f"{FIRST_LAYER}self_attn.linear_q.weight" in trained
    assert not [name for name in trained if name.startswith("encoder.encoder.layers.1.")]


def test_masked_prediction_trains_all_layers_and_not_the_quantizer() -> None:
    trained = _trained_by("masked_prediction", SMALL)
    assert {"predict_codes.weight", f"{FIRST_LAYER}self_attn.linear_q.weight"} <= trained
    assert "encoder.encoder.layers.1.self_attn.linear_q.weight" in trained
    assert not [name for name in trained if "quantizer" in name or "project_" in name]


def test_every_weight_is_trained_by_the_whole_loss() -> None:
    model = _model().train()
    model(**_batch(model)).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@torch.inference_mode()
def test_masked_prediction_enters_the_loss_with_its_weight() -> None:
    model = _model().eval()
    batch = _batch(model)
    once = model(**batch)
    model.objective = SMALL.changed(masked_prediction_weight=3.0)
    difference = (model(**batch).loss - once.loss).item()
    assert once.masked_prediction.item() > 0
    assert difference == pytest.approx(2 * once.masked_prediction.item(), rel=1e-4)


def test_masked_prediction_of_no_knowledge_is_the_logarithm_of_the_codes() -> None:
    codes = torch.tensor([[[0, 3], [1, 2]]])
    assert masked_prediction_loss(torch.zeros(1, 2, 8), codes).item() == pytest.approx(
        2 * math.log(4)
    )
    sure = nn.functional.one_hot(codes, 4).flatten(-2) * 100.0
    assert masked_prediction_loss(sure, codes).item() == pytest.approx(0, abs=1e-6)
    # The groups stand side by side: what is sure of the wrong group is wrong.
    assert masked_prediction_loss(sure.roll(4, dims=-1), codes).item() > 100


def test_the_projections_have_a_width_of_their_own() -> None:
    model = _model()
    assert model.project_q.weight.shape == (24, 16)
    assert model.project_hidden.weight.shape == (24, 64)
    assert model.predict_codes.weight.shape == (8, 64)
    plain = _model(SMALL.changed(compared_width=0))
    assert plain.project_q.weight.shape == (16, 16)


def test_dropout_stands_behind_the_layer_of_the_contrastive_loss() -> None:
    model = _model(SMALL.changed(dropout=0.1))
    found = {name: part.p for name, part in model.named_modules() if isinstance(part, nn.Dropout)}
    behind = {name for name in found if name.startswith("encoder.encoder.layers.1.")}
    assert behind
    assert {name for name, p in found.items() if p == 0.1} == behind
    assert {p for name, p in found.items() if name not in behind} == {0.0}


def test_the_heads_of_an_objective_without_masked_prediction_lack_it() -> None:
    without = Objective(code_vectors=8, code_width=16)
    model = EcgFmForPreTraining.build(ecg_fm_config("tiny", n_channels=12, n_labels=1), without)
    assert not [name for name in fairseq_heads(model.state_dict()) if "mlm" in name]
    assert "mlm_proj.weight" in fairseq_heads(_model().state_dict())


def test_a_layer_that_the_encoder_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="contrastive_layer is 3; the encoder has 2 layers"):
        _model(SMALL.changed(contrastive_layer=3))


def test_an_encoder_that_gives_its_last_layer_alone_has_no_contrastive_layer() -> None:
    config = ecg_fm_config("tiny", n_channels=12, n_labels=1)
    with pytest.raises(ValueError, match="EcgFmEncoder gives the output of its last layer alone"):
        EcgFmForPreTraining.build(config, SMALL)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cmsc_of": "tokens"}, "cmsc_of is 'tokens'"),
        ({"contrastive_layer": -1}, "contrastive_layer is -1"),
        ({"masked_prediction_weight": -0.5}, "masked_prediction_weight is -0.5"),
        ({"contrastive_layer": 2, "cmsc_of": "features"}, "nothing would train the layers behind"),
        ({"contrastive_layer": 2, "cmsc_weight": 0.0}, "nothing would train the layers behind"),
    ],
    ids=str,
)
def test_an_objective_names_what_its_extensions_cannot_be(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        Objective(**change)


def test_an_objective_without_extensions_is_written_as_before_there_were_any() -> None:
    assert list(Objective().model_dump(mode="json")) == [
        *("mask_probability", "mask_length", "n_negatives"),
        *("contrastive_temperature", "cmsc_temperature"),
        *("code_vectors", "code_groups", "code_width"),
        *("gumbel_start", "gumbel_end", "gumbel_decay"),
        *("diversity_weight", "feature_penalty_weight", "cmsc_weight"),
        *("feature_gradient", "dropout", "lead_mask_probability"),
    ]
    assert Objective(**SMALL.model_dump(mode="json")) == SMALL
    features = SMALL.changed(cmsc_of="features")
    assert Objective(**features.model_dump(mode="json")) == features


@pytest.mark.parametrize("family", ["ecg_fm", "ecg-lfm"])
def test_recomputed_activations_give_the_same_gradients(family: str) -> None:
    gradients, calls = [], []
    for recomputes in (False, True):
        torch.manual_seed(0)
        model: EcgForPreTraining = _model(SMALL.changed(dropout=0.1))
        if family == "ecg_fm":
            config = ecg_fm_config("tiny", n_channels=12, n_labels=1)
            last = SMALL.changed(contrastive_layer=0, dropout=0.1)
            model = EcgFmForPreTraining.build(config, last)
        if recomputes:
            checkpoint_activations(model)
        layer = model.encoder.encoder.layers[1]
        first = layer.ffn1 if family == "ecg-lfm" else layer.attention
        first.register_forward_hook(lambda *_: calls.append(family))
        torch.manual_seed(2)  # the same dropout and Gumbel noise
        model.train()(**_batch(model)).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert len(calls) == 3
    for name, value in gradients[1].items():
        torch.testing.assert_close(value, gradients[0][name], rtol=0, atol=1e-6)
