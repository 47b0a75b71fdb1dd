"""The pre-training model and its loss, term by term."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.models.wav2vec2.modeling_wav2vec2 import Wav2Vec2ForPreTraining

from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.ecg_fm.pretraining import EcgFmForPreTraining
from ecg_assets.models.pretraining.losses import (
    cmsc_loss,
    contrastive_logits,
    contrastive_loss,
    diversity_loss,
)
from ecg_assets.models.pretraining.model import PretrainingOutput, perplexity
from ecg_assets.models.pretraining.objective import TERMS, Objective

SMALL = Objective(code_vectors=8, code_width=16, dropout=0.0)
N_MASKED = 12


def _model(objective: Objective = SMALL, size: str = "tiny") -> EcgFmForPreTraining:
    torch.manual_seed(0)
    encoder = ecg_fm_config(size, n_channels=12, n_labels=1)
    return EcgFmForPreTraining.build(encoder, objective)


def _batch(model: EcgFmForPreTraining) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    mask = torch.zeros(6, model.count_tokens(2500), dtype=torch.bool)
    mask[:, 5 : 5 + N_MASKED] = True
    return {
        "input_values": torch.randn(6, 12, 2500, generator=random),
        "mask": mask,
        "negatives": torch.randint(N_MASKED, (6, N_MASKED, 7), generator=random),
        "patients": torch.tensor([4, 7, 4]),
    }


def test_base_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = _model(Objective(), "base")
    assert sum(p.numel() for p in model.parameters()) == 90_883_072


def test_the_encoder_has_the_classifiers_names() -> None:
    classifier = EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=1))
    expected = {name for name in classifier.state_dict() if name.startswith("encoder.")}
    assert {name for name in _model().state_dict() if name.startswith("encoder.")} == expected


@pytest.mark.parametrize(
    ("weight", "term"),
    [
        ("diversity_weight", "diversity"),
        ("feature_penalty_weight", "feature_penalty"),
        ("cmsc_weight", "cmsc"),
    ],
)
@torch.inference_mode()
def test_each_term_enters_the_loss_with_its_weight(weight: str, term: str) -> None:
    model = _model().eval()
    batch = _batch(model)
    values: dict[str, Any] = dict.fromkeys(
        ("diversity_weight", "feature_penalty_weight", "cmsc_weight"), 0.0
    )
    model.objective = SMALL.changed(**values)
    without = model(**batch)
    assert without.loss.item() == without.contrastive.item()
    model.objective = SMALL.changed(**{**values, weight: 3.0})
    weighted = model(**batch)
    assert getattr(weighted, term).item() > 0
    difference = (weighted.loss - without.loss).item()
    assert difference == pytest.approx(3 * getattr(weighted, term).item(), rel=1e-4)


def test_the_weights_are_those_of_ecg_fm() -> None:
    objective = Objective()
    assert (objective.diversity_weight, objective.feature_penalty_weight) == (0.1, 10.0)
    assert (objective.cmsc_weight, objective.feature_gradient) == (1.0, 0.1)
    assert (objective.n_codes, objective.code_width, objective.n_negatives) == (640, 256, 100)


def test_the_convolutions_get_a_tenth_of_their_gradient_and_nothing_else_does() -> None:
    whole = _gradients(SMALL.changed(feature_gradient=1.0))
    scaled = _gradients(SMALL)
    assert {name for name in whole if "feature_extractor" in name}
    for name, gradient in whole.items():
        share = 0.1 if "feature_extractor" in name else 1.0
        torch.testing.assert_close(scaled[name], share * gradient, rtol=1e-4, atol=1e-7)


def _gradients(objective: Objective) -> dict[str, Tensor]:
    model = _model(objective).train()
    torch.manual_seed(2)
    model(**_batch(model)).loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}
    found = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    assert set(found) == set(gradients)
    return found


@torch.inference_mode()
def test_masked_tokens_do_not_see_their_own_signal() -> None:
    """Only the mask embedding stands where a token is masked."""
    model = _model().eval()
    model.encoder.contextualize = lambda hidden: hidden
    batch = _batch(model)
    hidden = model(**batch).hidden
    assert (hidden[batch["mask"]] == model.mask_embedding).all()
    assert not (hidden[~batch["mask"]] == model.mask_embedding).all(dim=-1).any()


def test_the_gumbel_temperature_falls_with_the_steps() -> None:
    model = _model()
    assert model.quantizer.temperature == 2.0
    model.set_step(1000)
    assert model.quantizer.temperature == pytest.approx(2 * 0.999995**1000)
    model.set_step(10**6)
    assert model.quantizer.temperature == 0.5


def test_contrastive_logits_are_those_of_transformers() -> None:
    random = torch.Generator().manual_seed(3)
    predicted, target = torch.randn(2, 4, 5, 8, generator=random)
    negatives = torch.randint(5, (4, 5, 6), generator=random)
    codes = torch.arange(5)[None, :, None].expand(4, -1, -1)
    found = contrastive_logits(predicted, target, codes, negatives, 0.1)
    others = torch.stack([target[i][negatives[i]] for i in range(4)]).permute(2, 0, 1, 3)
    expected = Wav2Vec2ForPreTraining.compute_contrastive_logits(
        target[None], others, predicted, temperature=0.1
    ).permute(1, 2, 0)
    is_self = negatives == torch.arange(5)[:, None]
    expected[..., 1:][is_self] = -torch.inf
    torch.testing.assert_close(found, expected)


def test_a_negative_of_the_same_codes_is_no_negative() -> None:
    codes = torch.tensor([[[0, 1], [0, 1], [1, 1]]])
    negatives = torch.tensor([[[1, 2], [0, 2], [0, 1]]])
    tokens = torch.eye(3)[None]
    logits = contrastive_logits(tokens, tokens, codes, negatives, 0.1)
    expected = [[10, -torch.inf, 0], [10, -torch.inf, 0], [10, 0, 0]]
    assert logits[0].tolist() == expected
    assert contrastive_loss(logits).item() == pytest.approx(
        (2 * np.log1p(np.exp(-10)) + np.log1p(2 * np.exp(-10))) / 3, rel=1e-3
    )


def test_diversity_is_lost_when_few_codes_are_used() -> None:
    even = torch.full((2, 3, 2, 4), 0.25)
    assert diversity_loss(perplexity(even), 8).item() == pytest.approx(0, abs=1e-5)
    one = torch.zeros(2, 3, 2, 4)
    one[..., 0] = 1
    assert diversity_loss(perplexity(one), 8).item() == pytest.approx(6 / 8)


def test_cmsc_pulls_a_patients_segments_together_in_both_directions() -> None:
    pooled = np.random.default_rng(4).normal(size=(6, 5))
    hidden = torch.from_numpy(pooled)[:, None] + torch.tensor([[[1.0]], [[-1.0]]]).view(1, 2, 1)
    unit = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    similarity = np.exp(unit[:3] @ unit[3:].T / 0.1)
    forward = -np.log(similarity / similarity.sum(axis=1, keepdims=True))
    backward = -np.log(similarity / similarity.sum(axis=0, keepdims=True))
    for patients, positives in (
        ([0, 1, 2], [(0, 0), (1, 1), (2, 2)]),
        ([0, 1, 0], [(0, 0), (1, 1), (2, 2), (0, 2), (2, 0)]),
    ):
        expected = np.mean([forward[p] for p in positives]) / 2
        expected += np.mean([backward[p] for p in positives]) / 2
        found = cmsc_loss(hidden, torch.tensor(patients), 0.1)
        assert found.item() == pytest.approx(expected, rel=1e-6)


def test_the_output_names_every_term() -> None:
    assert set(TERMS) < set(PretrainingOutput._fields)


@pytest.mark.parametrize("name", ["input_values", "mask", "negatives", "patients"])
def test_shapes_that_do_not_belong_together_are_refused(name: str) -> None:
    model = _model().eval()
    batch = _batch(model)
    with pytest.raises(ValueError, match="Expected signals, mask and negatives of the shapes"):
        model(**{**batch, name: batch[name][:-1]})


@pytest.mark.parametrize(
    "change",
    [
        {"mask_length": 0},
        {"mask_probability": 0.0},
        {"lead_mask_probability": 1.0},
        {"code_width": 255},
        {"gumbel_start": 0.4},
        {"cmsc_weight": -1.0},
        {"contrastive_temperature": 0.0},
    ],
    ids=str,
)
def test_an_objective_names_a_wrong_value(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(ValueError, match=rf"{name} is"):
        Objective(**change)


def test_the_contrastive_term_can_be_learnt() -> None:
    """Steps of Adam on one batch of slow signals; chance is about 2.1."""
    objective = SMALL.changed(
        feature_penalty_weight=0.0, cmsc_weight=0.0, feature_gradient=1.0, gumbel_decay=0.98
    )
    model = _model(objective).train()
    batch = _batch(model)
    slow = torch.nn.functional.avg_pool1d(batch["input_values"], 51, stride=1, padding=25)
    batch["input_values"] = 7 * slow
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    found = []
    for step in range(60):
        model.set_step(step)
        output = model(**batch)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        found.append(output.contrastive.item())
    assert found[0] > 1.8
    assert max(found[-5:]) < 0.6
