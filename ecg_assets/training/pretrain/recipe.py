"""What a pre-training run does, apart from data, seed and machine."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from ecg_assets.models.families import DEFAULT_FAMILY, FAMILIES
from ecg_assets.models.pretraining.objective import Objective
from ecg_assets.training.engine.request import AdamEpsilon, TrainingRecipe, WeightDecay


class PretrainRecipe(TrainingRecipe):
    """Size of the model, objective, optimizer and stopping rule.

    The family and pairs of a recipe from before there were others are not written.
    """

    splits_batches = False

    batch_size: int = Field(
        ge=2,
        description="Pairs of segments in one forward pass: 2 or more, since their patients are "
        "contrasted with each other. Several GPUs share out the passes of a step.",
    )
    schedule: Literal["constant", "cosine"] = Field(
        default="constant", description="constant or cosine (to zero), after a linear warm-up."
    )
    weight_decay: WeightDecay = 0.01
    adam_epsilon: AdamEpsilon = 1e-6
    objective: Objective = Field(default_factory=Objective, description="What is minimized.")
    family: str = Field(
        default=DEFAULT_FAMILY,
        exclude_if=lambda family: family == DEFAULT_FAMILY,
        description="Kind of model, a name in FAMILIES that can be pre-trained.",
    )
    pairs: Literal["segments", "studies"] = Field(
        default="segments",
        exclude_if=lambda pairs: pairs == "segments",
        description="What the contrast between patients pairs up: segments, neighbours in one "
        "recording, or studies, segments of two recordings of one patient.",
    )

    @model_validator(mode="after")
    def _require_family(self) -> Self:
        can_be = tuple(name for name, family in FAMILIES.items() if family.pretraining)
        self._require(self.family in can_be, "family", f"one of {can_be}")
        sizes = tuple(FAMILIES[self.family].sizes)
        self._require(self.size in sizes, "size", f"one of {sizes} with family {self.family!r}")
        return self

    @classmethod
    def settings(cls) -> dict[str, FieldInfo]:
        """Give what a user may change by name: fields of the recipe and of its objective."""
        own = {name: field for name, field in cls.model_fields.items() if name != "objective"}
        return own | Objective.model_fields

    def changed(self, **changes: Any) -> Self:
        """Make another one with some fields changed, of the recipe or of its objective."""
        names = changes.keys() & Objective.model_fields.keys()
        if names:
            objective = self.objective.changed(**{name: changes.pop(name) for name in names})
            changes["objective"] = objective
        return super().changed(**changes)

    @property
    def history_columns(self) -> tuple[str, ...]:
        """Loss and terms of both splits, by epoch."""
        names = self.objective.measured
        of_splits = (f"{split}_{name}" for split in ("train", "valid") for name in names)
        return ("epoch", *of_splits, "learning_rate", "seconds")
