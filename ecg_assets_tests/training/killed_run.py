"""A training that a test ends early, between the validation of an epoch and its saving."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecg_assets.training.engine.data import TrainingData

Events = list[dict[str, Any]]


class Killed(Exception):
    """Stands for the end of the process."""


def run_until_killed(
    train: Callable[..., Path], request: Any, data: TrainingData, killed_in_epoch: int
) -> tuple[Path, Events]:
    """Train on data at hand; end with `Killed` in an epoch, if it is one, and give the events.

    Those of steps are left out: whether there are any depends on how busy the machine is.
    """
    events: Events = []

    def report(event: dict[str, Any]) -> None:
        if event["event"] != "step":
            events.append(event)
        if event["event"] == "epoch" and event["epoch"] == killed_in_epoch:
            raise Killed

    return train(request, report, open_data=lambda _: data), events
