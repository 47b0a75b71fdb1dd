from __future__ import annotations

import pytest
import torch

from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets.models.fold import fold_lead_one, unfold_lead_one


@pytest.fixture()
def model() -> EcgFmForClassification:
    torch.manual_seed(0)
    model = EcgFmForClassification(ecg_fm_config("tiny", n_channels=12, n_labels=3))
    model.eval()
    return model


LEAD = torch.randn(3, 1, 600, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_one_folded_lead_equals_twelve_copies_of_it(model: EcgFmForClassification) -> None:
    expected = model(LEAD.expand(-1, 12, -1)).logits
    folded = fold_lead_one(model)
    torch.testing.assert_close(folded(LEAD).logits, expected, rtol=0, atol=1e-6)
    assert (folded.config.n_channels, folded.config.folded_from) == (1, 12)


@torch.inference_mode()
def test_unfolding_gives_twelve_channels_with_the_same_outputs(
    model: EcgFmForClassification,
) -> None:
    expected = fold_lead_one(model)(LEAD).logits
    unfolded = unfold_lead_one(model, 12)
    torch.testing.assert_close(
        unfolded(LEAD.expand(-1, 12, -1)).logits, expected, rtol=0, atol=1e-6
    )
    assert (unfolded.config.n_channels, unfolded.config.folded_from) == (12, 0)


def test_the_sum_is_rounded_once(model: EcgFmForClassification) -> None:
    """float32 sums of 1e8, 1 and -1e8 lose the 1; the folded weight keeps it."""
    layer = model.encoder.feature_extractor.conv_layers[0].conv
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :3] = torch.tensor([1e8, 1.0, -1e8])[None, :, None]
    fold_lead_one(model)
    folded = model.encoder.feature_extractor.conv_layers[0].conv.weight
    assert torch.equal(folded, torch.ones_like(folded))


def test_folding_keeps_convolutions_frozen(model: EcgFmForClassification) -> None:
    model.freeze_convolutions()
    fold_lead_one(model)
    assert not any(p.requires_grad for p in model.encoder.feature_extractor.parameters())


def test_one_channel_cannot_be_folded_nor_twelve_unfolded(model: EcgFmForClassification) -> None:
    with pytest.raises(ValueError, match="reads 12 channels"):
        unfold_lead_one(model)
    fold_lead_one(model)
    with pytest.raises(ValueError, match="nothing to fold"):
        fold_lead_one(model)
