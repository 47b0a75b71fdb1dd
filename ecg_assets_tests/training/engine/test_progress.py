"""What a training says while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from ecg_assets.training.engine.training import Progress
from ecg_assets_tests.training.finetune.toy_run import toy_request

Events = list[dict[str, Any]]


@pytest.fixture()
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give a clock that a test puts forward."""
    now = [0.0]
    monkeypatch.setattr(f"{Progress.__module__}.time.monotonic", lambda: now[0])
    return now


def _run(recipe: Any, clock: list[float], *, n_steps: int, step_s: float, done: int = 0) -> Events:
    events: Events = []
    progress = Progress(recipe, events.append)
    state = TrainerState(max_steps=n_steps, global_step=done, epoch=0.0)
    progress.on_train_begin(None, state, TrainerControl())
    for step in range(done + 1, n_steps + 1):
        clock[0] += step_s
        state.global_step = step
        progress.on_step_end(None, state, TrainerControl())
    return events


def test_steps_tell_how_fast_they_are_and_how_long_the_rest_takes(
    clock: list[float], tmp_path: Path
) -> None:
    recipe = toy_request(tmp_path, batch_size=64, gradient_accumulation=2).recipe
    events = _run(recipe, clock, n_steps=100, step_s=0.5, done=40)
    assert events[0] == {
        "event": "step",
        "step": 60,
        "of_steps": 100,
        "epoch": 0.0,
        "samples_per_second": 256,
        "time_left": "0:00:20",
    }
    assert [event["step"] for event in events] == [60, 80, 100]


def test_a_long_training_says_few_lines(clock: list[float], tmp_path: Path) -> None:
    recipe = toy_request(tmp_path).recipe
    events = _run(recipe, clock, n_steps=6 * 3600, step_s=1.0)
    assert 60 < len(events) < 150
    assert events[0]["step"] == 10


def test_an_epoch_tells_how_long_the_others_take(clock: list[float], tmp_path: Path) -> None:
    events: Events = []
    progress = Progress(toy_request(tmp_path, epochs=4).recipe, events.append)
    loss = {"loss": 0.5, "learning_rate": 0.1, "epoch": 1.0}
    state = TrainerState(log_history=[loss, {"eval_valid_loss": 0.4, "epoch": 1.0}])
    progress.on_epoch_begin(None, state, TrainerControl())
    clock[0] += 30.0
    progress.on_evaluate(None, state, TrainerControl(), metrics={})
    assert (events[0]["epoch"], events[0]["seconds"], events[0]["time_left"]) == (
        1,
        30.0,
        "0:01:30",
    )
