from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification


def _tiny(n_channels: int = 2, n_labels: int = 3) -> EcgFmForClassification:
    torch.manual_seed(0)
    return EcgFmForClassification(ecg_fm_config("tiny", n_channels=n_channels, n_labels=n_labels))


def _signals(n_channels: int = 2) -> torch.Tensor:
    return torch.randn(4, n_channels, 500, generator=torch.Generator().manual_seed(1))


def test_base_encoder_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = EcgFmForClassification(ecg_fm_config("base", n_channels=12, n_labels=17))
    n_encoder = sum(p.numel() for p in model.encoder.parameters())
    assert n_encoder == 90_373_248
    assert sum(p.numel() for p in model.head.parameters()) == 17 * 768 + 17


def test_base_gives_156_tokens_for_5_s_and_312_for_10_s() -> None:
    with torch.device("meta"):
        model = EcgFmForClassification(ecg_fm_config("base", n_channels=12, n_labels=17))
        for n_samples, n_tokens in ((2500, 156), (5000, 312)):
            assert model.encoder(torch.empty(1, 12, n_samples)).shape == (1, n_tokens, 768)


def test_large_has_the_width_and_depth_of_wav2vec_2_large() -> None:
    with torch.device("meta"):
        model = EcgFmForClassification(ecg_fm_config("large", n_channels=12, n_labels=17))
        assert model.encoder(torch.empty(1, 12, 2500)).shape == (1, 156, 1024)
    layer = 4 * (1024 * 1024 + 1024) + 2 * 1024 * 4096 + 4096 + 1024 + 4 * 1024
    assert sum(p.numel() for p in model.encoder.encoder.layers.parameters()) == 24 * layer


def test_loss_is_the_weighted_cross_entropy_averaged_over_all_elements() -> None:
    model = _tiny().eval()
    labels = torch.tensor([[0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 1]])
    weight = np.array([1.0, 4.0, 0.5])
    with torch.inference_mode():
        output = model(_signals(), labels=labels, pos_weight=torch.from_numpy(weight))
    p = 1 / (1 + np.exp(-output.logits.numpy().astype(np.float64)))
    y = labels.numpy()
    expected = -np.mean(weight * y * np.log(p) + (1 - y) * np.log(1 - p))
    assert output.loss.item() == pytest.approx(expected, rel=1e-6)


def test_there_is_no_loss_without_labels() -> None:
    with torch.inference_mode():
        assert _tiny().eval()(_signals()).loss is None


def test_frozen_convolutions_get_no_gradient_and_all_else_does() -> None:
    model = _tiny().train()
    model.freeze_convolutions()
    labels = torch.ones(4, 3)
    model(_signals(), labels=labels, pos_weight=torch.ones(3)).loss.backward()
    without = {name for name, p in model.named_parameters() if p.grad is None}
    assert without == {name for name, _ in model.named_parameters() if "feature_extractor" in name}


def test_nothing_is_masked_or_skipped_in_training() -> None:
    """Only the activation dropout may tell training from evaluation."""
    model = _tiny()
    for layer in model.encoder.encoder.layers:
        layer.feed_forward.intermediate_dropout.p = 0.0
    with torch.inference_mode():
        torch.testing.assert_close(
            model.train()(_signals()).logits, model.eval()(_signals()).logits, rtol=0, atol=0
        )


def test_lengths_decide_which_tokens_count() -> None:
    model = _tiny().eval()
    signals, lengths = _signals(), torch.tensor([500, 320, 320, 500])
    with torch.inference_mode():
        kept = (~model.encoder.find_padded_tokens(lengths, 500)).sum(dim=1)
        alone = [model.encoder(signals[:1, :, :n]).shape[1] for n in lengths.tolist()]
        assert kept.tolist() == alone
        whole = model(signals).logits
        cut = model(signals, lengths=lengths).logits
        full = model(signals, lengths=torch.full((4,), 500)).logits
    assert not torch.allclose(cut[1], whole[1])
    torch.testing.assert_close(full, whole)


@pytest.mark.parametrize("shape", [(4, 500), (4, 1, 500)])
def test_signals_with_other_channels_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected signals \[batch, 2 channels, sample\]"):
        _tiny()(torch.zeros(shape))


def test_transformers_own_save_and_load_keep_every_weight(tmp_path: Path) -> None:
    model = _tiny().eval()
    model.save_pretrained(tmp_path)
    loaded = EcgFmForClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        torch.testing.assert_close(
            loaded(_signals()).logits, model(_signals()).logits, rtol=0, atol=0
        )
    assert (tmp_path / "model.safetensors").is_file()


def test_models_and_training_are_imported_without_torch() -> None:
    program = (
        "import sys, ecg_assets.models, ecg_assets.training\n"
        "assert not hasattr(ecg_assets.models, 'no_such_name')\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
