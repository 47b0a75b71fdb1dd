from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.saliency import saliency


@pytest.fixture(scope="module")
def model() -> EcgFmForClassification:
    torch.manual_seed(0)
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=3, n_labels=2))
    model.eval()
    return model


def _signal(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((3, 640)).astype(np.float32)


def test_gradients_add_up_to_the_difference_from_zeros(model: EcgFmForClassification) -> None:
    """Completeness, the property that defines the method."""
    signal = _signal()
    weights = saliency(model, signal, 1)
    with torch.inference_mode():
        inputs = torch.from_numpy(signal)[None]
        difference = model(inputs).logits - model(torch.zeros_like(inputs)).logits
    assert weights.shape == (640,)
    assert weights.sum() == pytest.approx(float(difference[0, 1]), rel=0.02)


def test_labels_have_their_own_gradients(model: EcgFmForClassification) -> None:
    assert not np.allclose(saliency(model, _signal(), 0), saliency(model, _signal(), 1))


def test_silence_has_no_weight(model: EcgFmForClassification) -> None:
    signal = _signal()
    signal[:, 200:300] = 0
    assert not saliency(model, signal, 0)[200:300].any()


def test_attention_is_a_share_of_the_tokens(model: EcgFmForClassification) -> None:
    weights = saliency(model, _signal(), 0, "attention")
    assert weights.shape == (640,)
    assert (weights >= 0).all()
    n_tokens = 640 // 2**6
    assert weights.mean() * n_tokens == pytest.approx(1, abs=0.1)
    assert np.array_equal(weights, saliency(model, _signal(), 1, "attention"))


def test_attention_is_that_of_the_layers(model: EcgFmForClassification) -> None:
    """One layer: half of its attention, as transformers computes it, half the token itself."""
    config = ecg_fm_config("tiny", n_channels=1, n_labels=1)
    config.num_hidden_layers = 1
    config._attn_implementation = "eager"
    torch.manual_seed(1)
    single = EcgFmForClassification(config).eval()
    found: list[torch.Tensor] = []
    layer = single.encoder.encoder.layers[0].attention
    layer.register_forward_hook(lambda module, inputs, output: found.append(output[1]))
    signal = _signal()[:1]
    weights = saliency(single, signal, 0, "attention")
    assert found[-1] is not None
    attention = found[-1][0].mean(dim=0)
    expected = (0.5 * attention + 0.5 * torch.eye(len(attention))).mean(dim=0).numpy()
    centres = ((np.arange(len(expected)) + 0.5) * 640 / len(expected)).astype(int)
    np.testing.assert_allclose(weights[centres], expected, rtol=0.02)


def test_unknown_method_is_refused(model: EcgFmForClassification) -> None:
    with pytest.raises(ValueError, match="integrated-gradients"):
        saliency(model, _signal(), 0, "lime")
