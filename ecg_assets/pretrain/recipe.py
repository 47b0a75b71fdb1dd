"""What a pre-training run does, apart from data, seed and machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ecg_assets.models.families import DEFAULT_FAMILY, FAMILIES
from ecg_assets.models.pretraining.objective import Objective

SCHEDULES = ("constant", "cosine")
PAIRS = ("segments", "studies")
_ADDED = {"family": DEFAULT_FAMILY, "pairs": PAIRS[0]}


@dataclass(frozen=True)
class PretrainRecipe:
    """Size of the model, objective, optimizer and stopping rule.

    Attributes
    ----------
    size
        A name in the family's sizes.
    epochs
        Passes over the training split.
    batch_size
        Pairs of segments in one forward pass, on each GPU; the patients of a pass are
        contrasted with each other.
    learning_rate
        Peak learning rate.
    gradient_accumulation
        Forward passes in one optimizer step.
    schedule
        ``constant`` or ``cosine`` (to zero), after a linear warm-up.
    warmup_fraction
        Share of all steps spent on the warm-up, from 0 to below 1.
    weight_decay
        Decoupled decay of all weights.
    adam_beta1, adam_beta2, adam_epsilon
        Adam's constants.
    max_gradient_norm
        Gradients are clipped to this norm; 0 leaves them alone.
    patience
        Stop when the validation loss has not fallen for this many epochs; 0 never stops.
    objective
        What is minimized.
    family
        Kind of model, a name in `FAMILIES` that can be pre-trained.
    pairs
        What the contrast between patients pairs up: ``segments``, neighbours in one recording,
        or ``studies``, segments of two recordings of one patient.
    """

    size: str
    epochs: int
    batch_size: int
    learning_rate: float
    gradient_accumulation: int = 1
    schedule: str = "constant"
    warmup_fraction: float = 0.0
    weight_decay: float = 0.01
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_epsilon: float = 1e-6
    max_gradient_norm: float = 0.0
    patience: int = 0
    objective: Objective = field(default_factory=Objective)
    family: str = DEFAULT_FAMILY
    pairs: str = PAIRS[0]

    def __post_init__(self) -> None:
        can_be = tuple(name for name, family in FAMILIES.items() if family.pretraining)
        self._require(self.family in can_be, "family", f"one of {can_be}")
        sizes = tuple(FAMILIES[self.family].sizes)
        self._require(self.size in sizes, "size", f"one of {sizes} with family {self.family!r}")
        self._require(self.schedule in SCHEDULES, "schedule", f"one of {SCHEDULES}")
        self._require(self.pairs in PAIRS, "pairs", f"one of {PAIRS}")
        for name in ("epochs", "gradient_accumulation"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        self._require(self.batch_size >= 2, "batch_size", "2 or more, to have another patient")
        for name in ("learning_rate", "adam_epsilon"):
            self._require(0 < getattr(self, name) < 1, name, "between 0 and 1")
        for name in ("warmup_fraction", "adam_beta1", "adam_beta2"):
            self._require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("weight_decay", "max_gradient_norm", "patience"):
            self._require(getattr(self, name) >= 0, name, "0 or above")

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; `from_json` reads them back.

        The family and pairs of a recipe from before there were others are left out.
        """
        fields = {name: v for name, v in asdict(self).items() if v != _ADDED.get(name)}
        return {**fields, "objective": self.objective.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> PretrainRecipe:
        """Build a recipe from `to_json`'s value."""
        return cls(**{**value, "objective": Objective(**value["objective"])})

    def _require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")
