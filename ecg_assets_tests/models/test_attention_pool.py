"""A learnable query over an encoder's tokens: the benchmark's own arrays, and every family."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ecg_assets.errors import CheckpointError, SettingsError
from ecg_assets.models import export_fairseq, export_onnx
from ecg_assets.models.attention_pool import AttentionPool, Tokens
from ecg_assets.models.checkpoint import load_trained, save_trained
from ecg_assets.models.classifier import EcgClassifier
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.load import load_checkpoint
from ecg_assets.models.saliency import saliency
from ecg_assets.preprocess.signal_spec import STANDARD_LEADS
from ecg_assets_tests.models.toy_recordings import VOCABULARY

with_tokens = pytest.mark.parametrize(
    "family", sorted(name for name, family in FAMILIES.items() if family.has_tokens)
)


@pytest.mark.reference
def test_logits_are_those_of_the_benchmarks_attention_pool(reference_data: Path) -> None:
    folder = reference_data / "ecg_cpc_golden"
    stored = torch.load(folder / "tiny_heads.pth", weights_only=True)
    weights = {
        name.removeprefix("head.").removesuffix(".weight"): value
        for name, value in stored["attention_pool"].items()
    }
    to_labels = weights.pop("c_proj")
    tokens = torch.from_numpy(np.load(folder / "tiny_predictor_tokens.npy"))
    expected = np.load(folder / "tiny_logits_attention_pool.npy")[: len(tokens)]
    pool = AttentionPool(24, 24, stored["attention_pool_heads"])
    pool.load_state_dict(weights)
    found = nn.functional.linear(pool(tokens), to_labels).detach().numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert np.ptp(expected) > 0


def test_it_equals_torchs_own_multi_head_attention() -> None:
    """An independent oracle, with padding: `nn.MultiheadAttention` without biases."""
    torch.manual_seed(0)
    pool = AttentionPool(12, 12, 3)
    nn.init.normal_(pool.query)
    theirs = nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([pool.q_proj, pool.k_proj, pool.v_proj]))
        theirs.out_proj.weight.copy_(torch.eye(12))
    hidden, padded = torch.randn(2, 7, 12), torch.arange(7)[None] >= torch.tensor([[7], [4]])
    expected, _ = theirs(pool.query.expand(2, -1, -1), hidden, hidden, key_padding_mask=padded)
    torch.testing.assert_close(pool(hidden, padded), expected[:, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(pool(hidden[1:, :4]), expected[1:, 0], rtol=0, atol=1e-6)


@torch.inference_mode()
def test_saliency_follows_what_the_pool_looks_at() -> None:
    """A pool that looks at the last tokens alone sees, through attention, other samples more."""
    model = _model("ecg_fm")
    pool = model.attention_pool
    assert pool is not None
    signal = _signal(model, "ecg_fm")[0]
    hidden = model.tokens(signal[None]).hidden
    weights = pool.look(hidden)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(1, 4))
    found = saliency(model, signal.numpy(), 0, "attention")
    pool.q_proj.zero_()  # looks at all alike, as a mean does
    alike = saliency(model, signal.numpy(), 0, "attention")
    plain = saliency(_model("ecg_fm", n_heads=0), signal.numpy(), 0, "attention")
    assert alike.shape == found.shape == (signal.shape[-1],)
    assert plain.sum() == pytest.approx(alike.sum(), rel=1e-3)
    assert not np.allclose(found, alike, rtol=1e-4, atol=0)


def test_fairseq_signals_has_no_such_head(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="pools tokens by attention"):
        export_fairseq(_model("ecg_fm"), tmp_path / "model.pt")


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(SettingsError, match=r"attention_pool_heads is 5; it must divide.*64"):
        AttentionPool(64, 64, 5)
    with pytest.raises(ValueError, match=re.escape("[batch, token, 64 features], found [2, 64]")):
        AttentionPool(64, 64, 4)(torch.zeros(2, 64))


def _leads(family: str) -> tuple[str, ...]:
    return (FAMILIES[family].lead_sets or (STANDARD_LEADS,))[-1]


def _model(family: str, n_heads: int = 4) -> EcgClassifier:
    torch.manual_seed(0)
    known = FAMILIES[family]
    n_channels = known.signal_spec(_leads(family)).n_channels
    config = known.build_config("tiny", n_channels=n_channels, n_labels=len(VOCABULARY))
    if n_heads:
        config.update({"attention_pool_heads": n_heads})
    model = known.classifier_class(config).eval()
    for weight in model.parameters():
        # What some families start at 0 would hide what it does.
        weight.data += 0.02 * torch.randn_like(weight)
    return model


def _signal(model: EcgClassifier, family: str) -> torch.Tensor:
    n_samples = FAMILIES[family].signal_spec(_leads(family)).segment_samples
    return torch.randn(2, model.config.n_channels, n_samples)


@with_tokens
@torch.inference_mode()
def test_tokens_are_of_the_stated_width_and_feed_the_pool(family: str) -> None:
    model = _model(family)
    signal = _signal(model, family)
    tokens = model.tokens(signal)
    assert isinstance(tokens, Tokens)
    assert tokens.hidden.shape[::2] == (2, model.token_size)
    assert tokens.hidden.shape[1] > 1
    assert model.attention_pool is not None
    expected = model.classify(model.attention_pool(*tokens))
    assert model(signal).logits.equal(expected)
    assert not model(signal).logits.equal(model.classify(model.embed(signal)))
    assert model.features(signal).shape == (2, model.config.hidden_size)


@with_tokens
def test_its_weights_are_the_heads_and_the_others_the_encoders(family: str) -> None:
    model, plain = _model(family), _model(family, n_heads=0)
    pool = {f"attention_pool.{name}" for name in ("query", "q_proj", "k_proj", "v_proj")}
    assert model.head_parameters() == plain.head_parameters() | pool
    assert len(model.encoder_parameters()) == len(plain.encoder_parameters())
    assert {name for name, _ in model.named_parameters()} - pool == {
        name for name, _ in plain.named_parameters()
    }


@pytest.mark.parametrize("family", ["ecg_fm", "ecg-founder", "ecg-jepa", "ecg-cpc"])
def test_a_checkpoint_with_it_is_stored_loaded_and_exported(family: str, tmp_path: Path) -> None:
    model, folder = _model(family), tmp_path / "checkpoint"
    folder.mkdir()
    known = FAMILIES[family]
    save_trained(folder, model, known.signal_spec(_leads(family)), VOCABULARY)
    signal = _signal(model, family)
    with torch.inference_mode():
        expected = model(signal).logits
        assert load_trained(folder).model(signal).logits.equal(expected)
        again = load_checkpoint(folder)
        assert isinstance(again, EcgClassifier)
        assert again(signal).logits.equal(expected)
    export_onnx(folder, tmp_path / "model.onnx")  # compares the two itself


@with_tokens
def test_every_weight_of_the_encoder_belongs_to_a_layer(family: str) -> None:
    model = _model(family)
    layers = model.encoder_layers()
    starts = [start for layer in layers for start in layer]
    names = [name for name, _ in model.named_parameters() if not model.is_of_head(name)]
    assert len(starts) == len(set(starts))
    for start in starts:
        assert any(f"{name}.".startswith(f"{start}." if start else "") for name in names), start
    for name in names:
        assert any(not start or name.startswith(f"{start}.") for start in starts), name
    assert 0 < model.n_early_layers < len(layers)


def test_never_trained_weights_are_there_and_have_a_reason() -> None:
    for name, family in FAMILIES.items():
        if not family.never_trained:
            continue
        parameters = dict(_model(name, n_heads=0).named_parameters())
        for pattern, reason in family.never_trained.items():
            assert reason, f"{name}: {pattern}"
            assert any(fnmatchcase(one, pattern) for one in parameters), f"{name}: {pattern}"


def test_a_model_without_tokens_says_so() -> None:
    class Plain(nn.Module):
        def __init__(self, config: object) -> None:
            super().__init__()

    class Other(EcgClassifier, Plain):
        """A model of another package, as they are without tokens."""

    with pytest.raises(SettingsError, match=r"Other gives no tokens.*'attention-probe'"):
        Other(None).tokens(torch.zeros(1, 1, 10))
