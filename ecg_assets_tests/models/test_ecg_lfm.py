"""The conformer by itself: padding, batch norms, and what training changes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from ecg_assets.errors import SettingsError
from ecg_assets.models.ecg_lfm.config import ecg_lfm_config
from ecg_assets.models.ecg_lfm.family import ECG_LFM
from ecg_assets.models.ecg_lfm.model import EcgLfmForClassification
from ecg_assets.models.fold import fold_lead_one
from ecg_assets.models.saliency import saliency
from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets.training.engine.training import checkpoint_activations
from ecg_assets_tests.models.golden_ecg_lfm import tiny_lfm


def _signals(n_channels: int = 2, n_samples: int = 900) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, n_channels, n_samples, generator=generator)


def _without_dropout(model: EcgLfmForClassification) -> EcgLfmForClassification:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def _backward(model: EcgLfmForClassification) -> None:
    weights = {"labels": torch.ones(4, 2), "pos_weight": torch.ones(2)}
    model(_signals(), **weights).loss.backward()


def test_base_has_156_tokens_for_5_s_and_the_published_encoders_parameters() -> None:
    with torch.device("meta"):
        model = EcgLfmForClassification(ecg_lfm_config("base", n_channels=12, n_labels=1))
        assert model.encoder(torch.empty(1, 12, 2500)).shape == (1, 156, 1024)
    # 626,812,672 of the published model less its heads of pre-training and what it never uses.
    n_encoder = sum(value.numel() for value in model.encoder.parameters())
    assert n_encoder == 626_812_672 - 3_936_768 - 16_781_568


def test_it_reads_millivolts_as_they_are() -> None:
    spec = ECG_LFM.signal_spec(STANDARD_LEADS)
    assert (spec.filter, spec.normalization, spec.unit) == ("none", "none", "mV")
    assert (spec.segment_s, spec.sample_rate_hz, spec.n_channels) == (5.0, 500, 12)


@torch.inference_mode()
def test_a_padded_signal_gives_what_it_gives_alone() -> None:
    model, signals = tiny_lfm(n_channels=2), _signals()
    lengths = [900, 640, 333, 64]
    for signal, length in zip(signals, lengths, strict=True):
        signal[:, length:] = 7.0
    found = model(signals, lengths=torch.tensor(lengths)).logits
    for row, length in enumerate(lengths):
        alone = model(signals[row : row + 1, :, :length]).logits[0]
        torch.testing.assert_close(found[row], alone, rtol=0, atol=1e-5)
    assert not torch.allclose(found[2], model(signals).logits[2], atol=1e-3)
    shorter = model(signals[2:], lengths=torch.tensor([333, 64])).logits
    torch.testing.assert_close(shorter, found[2:], rtol=0, atol=1e-5)


def test_nothing_but_dropout_and_batch_norm_tells_training_from_evaluation() -> None:
    model = tiny_lfm(n_channels=2)
    with torch.inference_mode():
        expected = model(_signals()).logits
        for name, value in model.named_parameters():
            value.requires_grad = "batch_norm" not in name
        found = _without_dropout(model).train()(_signals()).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_statistics_follow_the_batches_of_trained_batch_norms_alone(is_frozen: bool) -> None:
    model = tiny_lfm(n_channels=2).train()
    if is_frozen:
        model.encoder.requires_grad_(False)
    before = copy.deepcopy(dict(model.named_buffers()))
    _backward(model)
    changed = {name for name, value in model.named_buffers() if not value.equal(before[name])}
    assert changed == (set() if is_frozen else {name for name in before if "batch_norm" in name})


def test_recomputed_activations_give_the_same_gradients_and_count_a_batch_once() -> None:
    kept = tiny_lfm(n_channels=2).train()
    recomputed = copy.deepcopy(kept)
    checkpoint_activations(recomputed)
    calls: list[bool] = []
    layer = recomputed.encoder.encoder.layers[1].ffn2
    layer.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    for model in (kept, recomputed):
        for _ in range(2):
            torch.manual_seed(3)  # the same dropout
            _backward(model)
    assert len(calls) == 4
    expected = dict(kept.named_parameters())
    for name, value in recomputed.named_parameters():
        torch.testing.assert_close(value.grad, expected[name].grad, rtol=0, atol=1e-6)
    statistics = dict(kept.named_buffers())
    for name, counted in recomputed.named_buffers():
        torch.testing.assert_close(counted, statistics[name], rtol=0, atol=1e-6)


@torch.inference_mode()
def test_half_precision_leaves_no_trace() -> None:
    model = tiny_lfm(n_channels=2)
    expected = model(_signals()).logits
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model(_signals()).logits
    assert 0 < (rough - expected).abs().max() < 0.5
    assert model(_signals()).logits.equal(expected)


def test_frozen_convolutions_get_no_gradient_and_all_else_does() -> None:
    model = tiny_lfm(n_channels=2).train()
    model.freeze_convolutions()
    _backward(model)
    without = {name for name, value in model.named_parameters() if value.grad is None}
    assert without == {name for name, _ in model.named_parameters() if "feature_extractor" in name}


@torch.inference_mode()
def test_one_lead_twelve_times_is_read_once_when_folded() -> None:
    model, lead = tiny_lfm(n_channels=12), _signals(n_channels=1)
    expected = model(lead.expand(-1, 12, -1)).logits
    found = fold_lead_one(model)(lead).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (model.config.n_channels, model.config.folded_from) == (1, 12)


def test_gradients_add_up_to_the_difference_from_zeros() -> None:
    model = tiny_lfm(n_channels=3)
    signal = np.random.default_rng(0).standard_normal((3, 640)).astype(np.float32)
    weights = saliency(model, signal, 1, n_steps=64)
    with torch.inference_mode():
        inputs = torch.from_numpy(signal)[None]
        difference = model(inputs).logits - model(torch.zeros_like(inputs)).logits
    assert weights.sum() == pytest.approx(float(difference[0, 1]), rel=0.02)
    with pytest.raises(SettingsError, match=r"ECG-LFM has no attention.*integrated-gradients"):
        saliency(model, signal, 1, "attention")


@pytest.mark.parametrize("n_channels", [1, 3])
def test_signals_of_other_leads_are_refused(n_channels: int) -> None:
    with pytest.raises(ValueError, match=r"Expected signals \[batch, 2 channels, sample\]"):
        tiny_lfm(n_channels=2)(_signals(n_channels), lengths=torch.full((4,), 900))


@pytest.mark.parametrize(("size", "n_labels"), [("huge", 1), ("tiny", 0)])
def test_an_impossible_model_is_refused(size: str, n_labels: int) -> None:
    with pytest.raises(ValueError, match=r"allowed|1 or more"):
        ecg_lfm_config(size, n_channels=12, n_labels=n_labels)
