"""No step of a training waits for the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ecg_assets.models.families import FAMILIES
from ecg_assets.models.probabilities import Regression
from ecg_assets.preprocess import STANDARD_LEADS
from ecg_assets.training.engine.data import TrainingData
from ecg_assets.training.engine.training import EpochTrainer
from ecg_assets.training.pretrain.pretrain import pretrain
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.engine.waiting import CountedCopies, CountedWaits, counted_waits
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request
from ecg_assets_tests.training.pretrain.toy_cohort import toy_cohort
from ecg_assets_tests.training.pretrain.toy_run import toy_request as pretraining_request

STEPS = 4


@pytest.fixture(scope="module")
def data() -> TrainingData:
    manifest = toy_manifest(40)
    return TrainingData(manifest, toy_signals(manifest))


def _of_steps(counts: dict[int, int]) -> list[int]:
    """Give what was asked from the end of each step to that of the next one in the same epoch."""
    return [counts[step + 1] - counts[step] for step in range(1, STEPS)]


@pytest.mark.parametrize("optimizer", ["adamw", "fairseq-adam"])
def test_a_fine_tuning_asks_nothing_of_its_tensors_between_steps(
    optimizer: str, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_waits(monkeypatch) as counts:
        run_toy(toy_request(tmp_path, epochs=1, optimizer=optimizer), data)
    assert _of_steps(counts) == [0] * (STEPS - 1)


def test_a_pretraining_asks_only_what_a_cpu_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU no mask is counted and `one_hot` checks nothing; the length is a CPU's tensor."""
    with counted_waits(monkeypatch) as counts:
        request = pretraining_request(tmp_path, epochs=1, batch_size=4)
        pretrain(request, lambda _: None, open_data=lambda _: toy_cohort(24))
    n_masked, n_tokens, one_hot = 1, 1, 2
    assert _of_steps(counts) == [n_masked + n_tokens + one_hot] * (STEPS - 1)


def test_a_question_in_a_step_is_counted(
    data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = EpochTrainer.training_step

    def asking(trainer: EpochTrainer, *rest: Any) -> Tensor:
        loss = step(trainer, *rest)
        return loss if loss.item() < 1e9 else loss[loss > 0]

    monkeypatch.setattr(EpochTrainer, "training_step", asking)
    with counted_waits(monkeypatch) as counts:
        run_toy(toy_request(tmp_path, epochs=1), data)
    assert _of_steps(counts) == [1] * (STEPS - 1)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("regression", [None, Regression((1.0, 2.0), (1.0, 3.0), "huber")])
def test_no_family_waits_within_a_step(family: str, regression: Regression | None) -> None:
    """The device meta computes nothing, and has its tensors apart from a CPU's as a GPU has."""
    known = FAMILIES[family]
    spec = known.signal_spec(STANDARD_LEADS)
    with torch.device("meta"):
        config = known.build_config("tiny", n_channels=spec.n_channels, n_labels=2)
        if regression is not None:
            config.update(regression.to_config())
        model: Any = known.classifier_class(config).train()
        signals = torch.empty(2, spec.n_channels, spec.segment_samples)
        labels, pos_weight = torch.empty(2, 2), torch.empty(2)
    with CountedCopies() as copies, CountedWaits() as waits:
        torch.autograd.backward(model(signals, labels=labels, pos_weight=pos_weight).loss)
    assert (copies.n_copies, waits.n_waits) == (0, 0)


def test_a_tensor_that_is_made_of_values_is_counted() -> None:
    with CountedCopies() as counted:
        torch.tensor([0, 1], device="meta")
        torch.tensor([0, 1])
    assert counted.n_copies == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_step_waits_for_the_gpu(
    precision: str, data: TrainingData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = EpochTrainer.training_step
    n_steps = 0

    def watched(trainer: EpochTrainer, *rest: Any) -> Tensor:
        nonlocal n_steps
        n_steps += 1
        # torch raises where the program would wait; up to the next step, or the epoch's end.
        torch.cuda.set_sync_debug_mode("error" if n_steps < STEPS else "default")
        loss: Tensor = step(trainer, *rest)
        return loss

    monkeypatch.setattr(EpochTrainer, "training_step", watched)
    request = toy_request(tmp_path, epochs=1, device="cuda", precision=precision)
    try:
        run_toy(request, data)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert n_steps == STEPS
