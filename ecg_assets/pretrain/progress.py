"""Reports of a running pre-training, its early end, and its Gumbel temperature."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.finetune.history import training_is_over
from ecg_assets.models.pretraining import EcgFmForPreTraining
from ecg_assets.pretrain.history import read_history
from ecg_assets.pretrain.recipe import PretrainRecipe

Report = Callable[[dict[str, Any]], None]
"""Takes an event: ``event`` names it, the other values are numbers or short strings."""

_SECONDS_BETWEEN_STEPS = 10.0


class Progress(TrainerCallback):  # type: ignore[misc]
    """Reports steps (at most one in 10 s) and epochs; ends training by the recipe's rule.

    What it decides follows from the Trainer's log and step alone, so that a resumed run
    decides as an undisturbed one.
    """

    def __init__(self, recipe: PretrainRecipe, report: Report) -> None:
        self._recipe = recipe
        self._report = report
        self._epoch_started = time.monotonic()
        self._step_reported = time.monotonic()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the epoch's clock."""
        self._epoch_started = time.monotonic()

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: EcgFmForPreTraining,
        **_: Any,
    ) -> None:
        """Set the Gumbel temperature of the step."""
        model.set_step(state.global_step)

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
        history = read_history(state.log_history)
        self._report({"event": "epoch", "of_epochs": self._recipe.epochs, **history[-1]})
        if training_is_over(history, epochs=self._recipe.epochs, patience=self._recipe.patience):
            control.should_training_stop = True
