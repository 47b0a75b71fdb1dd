"""What a fine-tuning run does, apart from data, seed and machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ecg_assets.models.ecg_fm_sizes import SIZES

SCHEDULES = ("constant", "cosine")
METHODS = ("full", "linear-probe", "lora", "frozen-then-unfrozen")


@dataclass(frozen=True)
class Recipe:
    """Size of the model, optimizer and stopping rule.

    Attributes
    ----------
    size
        A name in `SIZES`, of a model with random weights; a pretrained checkpoint has a
        shape of its own.
    freeze_convolutions
        Never train the convolution stack; needs a pretrained checkpoint.
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
    method
        ``full``: all weights. ``linear-probe``: the head alone, on an encoder without
        dropout. ``lora``: the head and low-rank adapters of the encoder's linear layers
        (https://arxiv.org/abs/2106.09685), merged into the finished checkpoint.
        ``frozen-then-unfrozen``: the head alone for `head_epochs`, then all weights. All but
        ``full`` need a pretrained checkpoint.
    head_epochs
        Epochs of the head alone, for ``frozen-then-unfrozen``; 0 otherwise.
    lora_rank, lora_alpha, lora_dropout
        Rank of the adapters, their scale (times the rank), and dropout before them.
    activation_dropout
        Dropout inside the encoder's feed-forward layers; it has no other dropout.
    reports_test
        Also measure the test split after each epoch, where there is one. Nothing is chosen
        or stopped by it.
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
    method: str = "full"
    head_epochs: int = 0
    lora_rank: int = 8
    lora_alpha: int = 16
    lora_dropout: float = 0.0
    activation_dropout: float = 0.1
    reports_test: bool = True

    def __post_init__(self) -> None:
        self._require(self.size in SIZES, "size", f"one of {tuple(SIZES)}")
        self._require(self.schedule in SCHEDULES, "schedule", f"one of {SCHEDULES}")
        self._require(self.method in METHODS, "method", f"one of {METHODS}")
        for name in ("epochs", "batch_size", "gradient_accumulation", "lora_rank"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("learning_rate", "adam_epsilon"):
            self._require(0 < getattr(self, name) < 1, name, "between 0 and 1")
        below_one = ("warmup_fraction", "adam_beta1", "adam_beta2")
        for name in (*below_one, "lora_dropout", "activation_dropout"):
            self._require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("weight_decay", "max_gradient_norm", "patience"):
            self._require(getattr(self, name) >= 0, name, "0 or above")
        self._require(self.lora_alpha > 0, "lora_alpha", "above 0")
        if self.method == "frozen-then-unfrozen":
            allowed = f"from 1 to epochs - 1 = {self.epochs - 1} with method {self.method!r}"
            self._require(1 <= self.head_epochs < self.epochs, "head_epochs", allowed)
        else:
            self._require(self.head_epochs == 0, "head_epochs", f"0 with method {self.method!r}")

    @property
    def needs_pretrained(self) -> bool:
        """Whether weights that are not trained must come from somewhere."""
        return self.freeze_convolutions or self.method != "full"

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; ``Recipe(**value)`` reads them back."""
        return asdict(self)

    def _require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")
