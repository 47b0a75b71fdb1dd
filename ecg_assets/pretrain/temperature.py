"""The Gumbel temperature of a running pre-training."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecg_assets.models.pretraining.model import EcgForPreTraining


class GumbelTemperature(TrainerCallback):  # type: ignore[misc]
    """Sets each step's temperature by its number alone: a resumed run has an undisturbed one's."""

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: EcgForPreTraining,
        **_: Any,
    ) -> None:
        """Set the Gumbel temperature of the step."""
        model.set_step(state.global_step)
