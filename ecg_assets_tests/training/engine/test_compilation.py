"""What torch.compile compiles of a training, and when."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch._dynamo.testing import CompileCounter
from transformers import TrainerControl, TrainerState

from ecg_assets.training.engine.compilation import COST_S, SAVED_SHARE, Compilation
from ecg_assets.training.engine.data import TrainingData
from ecg_assets_tests.models.toy_recordings import toy_manifest, toy_signals
from ecg_assets_tests.training.finetune.toy_run import run_toy, toy_request
from ecg_assets_tests.training.pretrain.toy_cohort import toy_cohort
from ecg_assets_tests.training.pretrain.toy_run import run
from ecg_assets_tests.training.pretrain.toy_run import toy_request as pretraining_request

Events = list[dict[str, Any]]


@pytest.fixture()
def counter(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompileCounter]:
    """Count graphs instead of generating code of them."""
    torch.compiler.reset()
    counter = CompileCounter()
    compile_plainly = torch.compile
    monkeypatch.setattr(torch, "compile", partial(compile_plainly, backend=counter))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    yield counter
    torch.compiler.reset()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_fine_tuning_has_one_graph_of_training_and_one_of_evaluation(
    precision: str, counter: CompileCounter, tmp_path: Path
) -> None:
    """Of 60 segments a batch of 16 leaves 12, and of 20 that are evaluated one of 16 leaves 4."""
    manifest = toy_manifest(38)
    data = TrainingData(manifest, toy_signals(manifest))
    values: dict[str, Any] = {"epochs": 2, "activation_dropout": 0.0, "precision": precision}
    compiled, events = run_toy(toy_request(tmp_path / "on", compile="on", **values), data)
    assert counter.frame_count == 2
    assert events[1] == {"event": "compile", "compiles": "yes", "reason": "compile is on"}
    assert events[2].keys() == {"event", "first_step_s"}
    assert [event["event"] for event in events].count("compiled") == 1
    eager, _ = run_toy(toy_request(tmp_path / "off", compile="off", **values), data)
    assert counter.frame_count == 2
    losses = [pd.read_csv(path / "history.csv")["valid_loss"] for path in (compiled, eager)]
    assert losses[0].tolist() == pytest.approx(losses[1].tolist(), abs=1e-5)


# torch looks at the input's gradient, and warns itself of it.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_pretraining_compiles_what_has_one_shape(counter: CompileCounter, tmp_path: Path) -> None:
    """Of 26 pairs batches of 4 leave 2, as of 6 that are measured."""
    request = pretraining_request(tmp_path, epochs=2, batch_size=4, compile="on")
    run(request, toy_cohort(32))
    assert counter.frame_count == 2


def test_a_training_that_is_compiled_before_an_epochs_last_batch_compiles_whole_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    compilation = Compilation(toy_request(tmp_path), lambda: None, lambda _: None)
    whole, rest = ({"input_values": torch.zeros(size, 1)} for size in (16, 12))
    compilation.of_whole_batches(whole, "training")
    compilation.decide(1.0, 10_000)
    eagerly = compilation.of_whole_batches(rest, "training")
    with eagerly:  # it holds from here on
        assert not isinstance(eagerly, nullcontext)
    assert isinstance(compilation.of_whole_batches(whole, "training"), nullcontext)


def _decided(tmp_path: Path, step_s: float, steps_left: int, **changes: Any) -> tuple[bool, Events]:
    events: Events = []
    request = toy_request(tmp_path, **changes)
    compilation = Compilation(request, lambda: None, events.append)
    compilation.decide(step_s, steps_left)
    return compilation.is_on, events


def test_the_steps_that_are_left_must_repay_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    repaid = COST_S / SAVED_SHARE
    few, told = _decided(tmp_path, 0.1, int(10 * repaid))
    assert not few
    assert told == [
        {
            "event": "compile",
            "compiles": "no",
            "eager_step_s": 0.1,
            "steps_left": int(10 * repaid),
            "saves_s": pytest.approx(COST_S, abs=0.1),
            "costs_s": COST_S,
        }
    ]
    assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
    many, told = _decided(tmp_path, 0.1, int(10 * repaid) + 1)
    assert many
    assert told[0]["compiles"] == "yes"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "torch_compile")


def test_a_gpu_is_timed_for_ten_steps_and_a_cpu_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    clock = iter([100.0, 102.5])
    monkeypatch.setattr("torch.cuda.synchronize", lambda: waits.append(0))
    monkeypatch.setattr(
        "ecg_assets.training.engine.compilation.time.monotonic", lambda: next(clock)
    )
    state = TrainerState(max_steps=500)
    for device in ("cpu", "cuda"):
        events: Events = []
        compilation = Compilation(toy_request(tmp_path), lambda: None, events.append)
        arguments: Any = SimpleNamespace(device=torch.device(device))
        for step in range(1, 31):
            state.global_step = step
            compilation.on_step_end(arguments, state, TrainerControl())
        if device == "cpu":
            assert not events
    assert len(waits) == 2
    assert [(event["eager_step_s"], event["steps_left"]) for event in events] == [(0.25, 487)]
