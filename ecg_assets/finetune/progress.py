"""Reports of a running training, and its early end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.finetune.history import History, read_history, training_is_over

Report = Callable[[dict[str, Any]], None]
"""Takes an event: ``event`` names it, the other values are numbers or short strings."""

_SECONDS_BETWEEN_STEPS = 10.0


class Progress(TrainerCallback):  # type: ignore[misc]
    """Reports steps (at most one in 10 s) and epochs, and ends training by the recipe's rule.

    What it decides follows from the Trainer's log alone, so that a resumed run decides
    as an undisturbed one.

    Parameters
    ----------
    epochs, patience
        As the recipe has them.
    report
        Takes the events.
    read_log
        Turns the Trainer's log into rows with ``epoch`` and ``valid_loss``.
    """

    def __init__(
        self,
        epochs: int,
        patience: int,
        report: Report,
        read_log: Callable[[Sequence[Mapping[str, Any]]], History] = read_history,
    ) -> None:
        self._epochs, self._patience = epochs, patience
        self._report = report
        self._read_log = read_log
        self._epoch_started = time.monotonic()
        self._step_reported = time.monotonic()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the epoch's clock."""
        self._epoch_started = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Report the step."""
        if time.monotonic() - self._step_reported < _SECONDS_BETWEEN_STEPS:
            return
        self._step_reported = time.monotonic()
        self._report(
            {
                "event": "step",
                "step": state.global_step,
                "of_steps": state.max_steps,
                "epoch": float(state.epoch),
            }
        )

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: Mapping[str, float],
        **_: Any,
    ) -> None:
        """Report the epoch; end training when the recipe says so."""
        state.log_history[-1]["seconds"] = time.monotonic() - self._epoch_started
        history = self._read_log(state.log_history)
        self._report({"event": "epoch", "of_epochs": self._epochs, **history[-1]})
        if training_is_over(history, epochs=self._epochs, patience=self._patience):
            control.should_training_stop = True
