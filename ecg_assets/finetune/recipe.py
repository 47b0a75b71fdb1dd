"""What a fine-tuning run does, apart from data, seed and machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ecg_assets.models.ecg_fm_sizes import SIZES

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Recipe:
    """Size of the model, optimizer and stopping rule.

    Attributes
    ----------
    size
        ``tiny`` or ``base``.
    freeze_convolutions
        Train everything but the convolution stack; needs a pretrained checkpoint.
    epochs
        Passes over the training split.
    batch_size
        Segments in one forward pass, on each GPU.
    gradient_accumulation
        Forward passes in one optimizer step.
    learning_rate
        Peak learning rate.
    schedule
        ``constant`` or ``cosine`` (to zero), after a linear warm-up.
    warmup_fraction
        Share of all steps spent on the warm-up, from 0 to below 1.
    weight_decay
        Decoupled decay, AdamW's.
    adam_beta1, adam_beta2, adam_epsilon
        Adam's constants.
    max_gradient_norm
        Gradients are clipped to this norm; 0 leaves them alone.
    patience
        Stop when the validation loss has not fallen for this many epochs; 0 never stops.
    """

    size: str
    freeze_convolutions: bool
    epochs: int
    batch_size: int
    learning_rate: float
    gradient_accumulation: int = 1
    schedule: str = "constant"
    warmup_fraction: float = 0.0
    weight_decay: float = 0.0
    adam_beta1: float = 0.9
    adam_beta2: float = 0.98
    adam_epsilon: float = 1e-8
    max_gradient_norm: float = 0.0
    patience: int = 0

    def __post_init__(self) -> None:
        self._require(self.size in SIZES, "size", f"one of {tuple(SIZES)}")
        self._require(self.schedule in SCHEDULES, "schedule", f"one of {SCHEDULES}")
        for name in ("epochs", "batch_size", "gradient_accumulation"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("learning_rate", "adam_epsilon"):
            self._require(0 < getattr(self, name) < 1, name, "between 0 and 1")
        for name in ("warmup_fraction", "adam_beta1", "adam_beta2"):
            self._require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("weight_decay", "max_gradient_norm", "patience"):
            self._require(getattr(self, name) >= 0, name, "0 or above")

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; ``Recipe(**value)`` reads them back."""
        return asdict(self)

    def _require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")
