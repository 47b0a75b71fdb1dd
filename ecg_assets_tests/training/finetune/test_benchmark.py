"""What benchmarks/training.py does, without its clock."""

from __future__ import annotations

import re

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.training import Plan, _read_plan, build_model, count_operations, run
from ecg_assets.models.families import FAMILIES


def test_operations_are_those_that_torch_counts_of_a_model_with_weights() -> None:
    plan = Plan("tiny", 1, 1, torch.device("cpu"))
    model = build_model(plan, "ecg_fm", is_reference=True)
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(1, 12, 2500)).logits.sum().backward()
    with torch.device("meta"):
        described = build_model(plan, "ecg_fm", is_reference=True)
    trained = count_operations(described, 2500, trains=True)
    assert trained == counter.get_total_flops()
    # Frozen convolutions have no backward pass, all else takes twice its forward pass.
    forward = count_operations(described, 2500, trains=False)
    assert 2 * forward < trained < 3 * forward


def test_ecg_fm_on_ten_seconds_takes_sixty_billion_operations() -> None:
    plan = Plan("base", 1, 1, torch.device("cpu"))
    with torch.device("meta"):
        model = build_model(plan, "ecg_fm", is_reference=True)
    assert count_operations(model, 5000, trains=False) == pytest.approx(60.3e9, rel=0.01)


def test_all_of_it_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    run(Plan("tiny", 2, 3, torch.device("cpu"), n_records=12, n_workers=0, profiles=True))
    printed = capsys.readouterr().out
    measured = set(re.findall(r"^ *(.+?): +[\d,.]+ (?:samples|pairs) a second", printed, re.M))
    of_families = {
        f"{family.title}, {way}"
        for family in FAMILIES.values()
        for way in ("reference", "ours", "ours, recomputing")
        if family.can_recompute or "recomputing" not in way
    }
    assert measured == {
        *("reference", "ours in fp32", "ours through the Trainer"),
        *("forward pass", "evaluation", "embedding"),
        *("pre-training, reference", "pre-training, ours"),
        *of_families,
    }
    losses = re.findall(r"mean loss of steps .*reference ([\d.]+), ours in fp32 ([\d.]+)", printed)
    assert len(losses) == 3
    for reference, ours in losses:
        assert float(ours) == pytest.approx(float(reference), abs=1e-3)
    assert "Self CPU" in printed  # the profile


def test_the_command_line_says_what_is_measured() -> None:
    plan = _read_plan(["--size", "base", "--batch", "4", "--steps", "3", "--device", "cpu"])
    assert (plan.size, plan.batch_size, plan.n_steps, plan.precision) == ("base", 4, 3, "fp32")
    assert not plan.profiles
    assert _read_plan(["--device", "cpu", "--parts", "asset"]).parts == ("asset",)
