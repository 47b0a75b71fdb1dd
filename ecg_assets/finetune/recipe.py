"""What a fine-tuning run does, apart from data, seed and machine."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ecg_assets.models.families import DEFAULT_FAMILY, FAMILIES

SCHEDULES = ("constant", "cosine", "plateau")
OBJECTIVES = ("multi-label", "exclusive")
AUGMENTATIONS = (
    "noise_sd",
    "lead_dropout",
    "amplitude_change",
    "time_shift_s",
    "wander_amplitude",
)
"""Fields that change training segments at random; 0 is off."""
_UNBOUNDED = ("noise_sd", "time_shift_s", "wander_amplitude")
METHODS = ("full", "linear-probe", "lora", "frozen-then-unfrozen")


@dataclass(frozen=True)
class Recipe:
    """Size of the model, optimizer and stopping rule.

    Attributes
    ----------
    size
        A name in the family's sizes, of a model with random weights; a pretrained checkpoint
        has a shape of its own.
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
        ``constant`` or ``cosine`` (to zero), after a linear warm-up; ``plateau``: halved
        whenever the validation loss has not fallen for 6 epochs, without a warm-up.
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
    family
        Kind of model, a name in `FAMILIES`.
    objective
        ``multi-label``: each label by itself, positives weighted. ``exclusive``: just one of
        the labels is true of a recording (softmax and cross entropy, without weights);
        recordings with none or several of them are left out of training and validation.
    noise_sd, lead_dropout, amplitude_change, time_shift_s, wander_amplitude
        Random changes of training segments, each off at 0: standard deviation of added noise,
        probability that a lead becomes 0, largest relative change of the amplitude, longest
        circular shift, and largest height of a slow sine. Noise and sine are in the unit of
        the model's input: standard deviations, or mV of signals that are not normalized.
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
    family: str = DEFAULT_FAMILY
    objective: str = "multi-label"
    noise_sd: float = 0.0
    lead_dropout: float = 0.0
    amplitude_change: float = 0.0
    time_shift_s: float = 0.0
    wander_amplitude: float = 0.0

    def __post_init__(self) -> None:
        self._require(self.family in FAMILIES, "family", f"one of {tuple(FAMILIES)}")
        self._require_of_family()
        self._require(self.schedule in SCHEDULES, "schedule", f"one of {SCHEDULES}")
        self._require(self.method in METHODS, "method", f"one of {METHODS}")
        self._require(self.objective in OBJECTIVES, "objective", f"one of {OBJECTIVES}")
        for name in ("epochs", "batch_size", "gradient_accumulation", "lora_rank"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("learning_rate", "adam_epsilon"):
            self._require(0 < getattr(self, name) < 1, name, "between 0 and 1")
        below_one = ("warmup_fraction", "adam_beta1", "adam_beta2", "lead_dropout")
        for name in (*below_one, "lora_dropout", "activation_dropout", "amplitude_change"):
            self._require(0 <= getattr(self, name) < 1, name, "from 0 to below 1")
        for name in ("weight_decay", "max_gradient_norm", "patience", *_UNBOUNDED):
            self._require(0 <= getattr(self, name) < math.inf, name, "0 or above")
        self._require(self.lora_alpha > 0, "lora_alpha", "above 0")
        self._require_of_method()
        if self.schedule == "plateau":
            self._require(self.warmup_fraction == 0, "warmup_fraction", "0 with schedule 'plateau'")

    def _require_of_method(self) -> None:
        """Refuse what the method has no use for."""
        if self.method == "frozen-then-unfrozen":
            allowed = f"from 1 to epochs - 1 = {self.epochs - 1} with method {self.method!r}"
            self._require(1 <= self.head_epochs < self.epochs, "head_epochs", allowed)
        else:
            self._require(self.head_epochs == 0, "head_epochs", f"0 with method {self.method!r}")
        if self.method == "linear-probe":
            # The encoder computes the features of a segment once for all epochs.
            for name in AUGMENTATIONS:
                self._require(getattr(self, name) == 0, name, "0 with method 'linear-probe'")

    def _require_of_family(self) -> None:
        """Refuse what the family has no such part for."""
        family = FAMILIES[self.family]
        of_it = f"with {family.title}"
        self._require(self.size in family.sizes, "size", f"one of {tuple(family.sizes)} {of_it}")
        if not family.has_convolution_stack:
            self._require(not self.freeze_convolutions, "freeze_convolutions", f"False {of_it}")
        if not family.adapted_layers:
            self._require(self.method != "lora", "method", f"another than 'lora' {of_it}")
        if not family.fine_tuning:
            self._require(self.activation_dropout == 0, "activation_dropout", f"0 {of_it}")

    @property
    def needs_pretrained(self) -> bool:
        """Whether weights that are not trained must come from somewhere."""
        return self.freeze_convolutions or self.method != "full"

    @property
    def augments(self) -> bool:
        """Whether training segments are changed at random."""
        return any(getattr(self, name) for name in AUGMENTATIONS)

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; ``Recipe(**value)`` reads them back.

        Augmentation that is off is left out: a recipe without any is as it was before there was.
        """
        return {k: v for k, v in asdict(self).items() if v or k not in AUGMENTATIONS}

    def _require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {allowed}.")
