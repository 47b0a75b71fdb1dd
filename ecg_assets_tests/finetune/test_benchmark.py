"""What benchmarks/training.py computes without a clock."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import forward_flops
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification


def test_operations_of_a_forward_pass_are_those_that_torch_counts() -> None:
    config = ecg_fm_config("tiny", n_channels=12, n_labels=17)
    config._attn_implementation = "eager"  # torch does not count SDPA on a CPU
    model = EcgFmForClassification(config).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 12, 2500))
    flops = forward_flops(config, 2500)
    # The head is left out; an even kernel gives the positions one token more.
    assert flops["convolutions"] + flops["rest"] == pytest.approx(
        counter.get_total_flops(), rel=0.02
    )


def test_ecg_fm_on_ten_seconds_takes_sixty_billion_operations() -> None:
    flops = forward_flops(ecg_fm_config("base", n_channels=12, n_labels=17), 5000)
    assert flops["convolutions"] + flops["rest"] == pytest.approx(60.3e9, rel=0.01)
