"""What a fine-tuning run does, apart from data, seed and machine."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ecg_assets.frozen_model import Number
from ecg_assets.models.families import FAMILIES
from ecg_assets.models.probabilities import HUBER, MEAN_SQUARED_ERROR
from ecg_assets.training.engine.history import COLUMNS, REGRESSION_COLUMNS
from ecg_assets.training.engine.request import TrainingRecipe

AUGMENTATIONS = (
    "noise_sd",
    "lead_dropout",
    "amplitude_change",
    "time_shift_s",
    "wander_amplitude",
)
"""Fields that change training segments at random; 0 is off, and is not written."""
_IN_INPUTS_UNIT = (
    "in the unit of the model's input: standard deviations, or mV of signals that are not "
    "normalized; 0 is off."
)


PROBES = ("linear-probe", "attention-probe")
"""Methods that train a head alone."""
RATES = ("layer_decay", "early_rate", "late_rate")
"""Fields that give layers of the encoder a lower learning rate; 1 is off, and is not written."""


def _is_off(amount: float) -> bool:
    return not amount


def _is_one(factor: float) -> bool:
    return factor == 1


class Recipe(TrainingRecipe):
    """Size of the model, optimizer and stopping rule; what is trained, and on what."""

    freeze_convolutions: bool = Field(
        description="Never train the convolution stack; needs a pretrained checkpoint."
    )
    schedule: Literal["constant", "cosine", "plateau"] = Field(
        default="constant",
        description="constant or cosine (to zero), after a linear warm-up; plateau: halved "
        "whenever the validation loss has not fallen for 6 epochs, without a warm-up.",
    )
    method: Literal["full", "linear-probe", "attention-probe", "lora", "frozen-then-unfrozen"] = (
        Field(
            default="full",
            description="full: all weights. linear-probe: the head alone, on an encoder without "
            "dropout. attention-probe: the same, with a head that pools the encoder's tokens by "
            "attention of a learnable query. lora: the head and low-rank adapters of the encoder's "
            "linear layers (https://arxiv.org/abs/2106.09685), merged into the finished "
            "checkpoint. frozen-then-unfrozen: the head alone for head_epochs, then all weights. "
            "All but full need a pretrained checkpoint.",
        )
    )
    random_encoder: bool = Field(
        default=False,
        exclude_if=_is_off,
        description="Leave the encoder's random weights as they are under a probe: the baseline "
        "that a pretrained encoder must beat. The result says that its encoder is random.",
    )
    any_signals: bool = Field(
        default=False,
        exclude_if=_is_off,
        description="Read signals of another kind (filter, normalization, rate) than the model's "
        "weights were trained on, as a study did that is reproduced; otherwise they are refused.",
    )
    attention_pool_heads: int = Field(
        default=16,
        ge=1,
        exclude_if=lambda n_heads: n_heads == 16,
        description="Attention heads of the pooling, for attention-probe; a divisor of the width "
        "of the tokens.",
    )
    layer_decay: Number = Field(
        default=1.0,
        gt=0,
        le=1,
        exclude_if=_is_one,
        description="Factor of the learning rate from each layer of the encoder to the one before "
        "it; the head has all of learning_rate, the encoder's last layer layer_decay times it.",
    )
    early_rate: Number = Field(
        default=1.0,
        gt=0,
        le=1,
        exclude_if=_is_one,
        description="Factor of the learning rate of the encoder's early layers: what stands before "
        "a transformer, of other networks the first half.",
    )
    late_rate: Number = Field(
        default=1.0,
        gt=0,
        le=1,
        exclude_if=_is_one,
        description="Factor of the learning rate of the encoder's other layers.",
    )
    head_epochs: int = Field(
        default=0,
        description="Epochs of the head alone, for frozen-then-unfrozen, which do not count for "
        "patience; 0 otherwise.",
    )
    lora_rank: int = Field(default=8, ge=1, description="Rank of the adapters, for lora.")
    lora_alpha: int = Field(default=16, gt=0, description="Scale of the adapters, times the rank.")
    lora_dropout: Number = Field(default=0.0, ge=0, lt=1, description="Dropout before adapters.")
    activation_dropout: Number = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="Dropout inside the encoder's feed-forward layers; it has no other dropout.",
    )
    reports_test: bool = Field(
        default=True,
        description="Also measure the test split after each epoch, where there is one. Nothing is "
        "chosen or stopped by it.",
    )
    objective: Literal["multi-label", "exclusive", "mean-squared-error", "huber"] = Field(
        default="multi-label",
        description="multi-label: each label by itself, positives weighted. exclusive: just one "
        "of the labels is true of a recording (softmax and cross entropy, without weights); "
        "recordings with none or several of them are left out of training and validation. "
        "mean-squared-error or huber: numbers (a label set of `targets`), standardized by the "
        "training split's mean and deviation; Huber's loss bends at one deviation.",
    )
    train_fraction: Number = Field(
        default=1.0,
        gt=0,
        le=1,
        exclude_if=lambda fraction: fraction == 1,
        description="Share of the training patients that are used. Of one seed, a smaller share's "
        "patients are among a larger one's.",
    )
    noise_sd: Number = Field(
        default=0.0,
        ge=0,
        exclude_if=_is_off,
        description=f"Standard deviation of noise added to training segments, {_IN_INPUTS_UNIT}",
    )
    lead_dropout: Number = Field(
        default=0.0,
        ge=0,
        lt=1,
        exclude_if=_is_off,
        description="Probability that a lead of a training segment becomes 0.",
    )
    amplitude_change: Number = Field(
        default=0.0,
        ge=0,
        lt=1,
        exclude_if=_is_off,
        description="Largest relative change of a training segment's amplitude; 0 is off.",
    )
    time_shift_s: Number = Field(
        default=0.0,
        ge=0,
        exclude_if=_is_off,
        description="Longest circular shift of a training segment, in seconds; 0 is off.",
    )
    wander_amplitude: Number = Field(
        default=0.0,
        ge=0,
        exclude_if=_is_off,
        description=f"Largest height of a slow sine added to training segments, {_IN_INPUTS_UNIT}",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        self._require(self.family in FAMILIES, "family", f"one of {tuple(FAMILIES)}")
        self._require_of_family()
        self._require_of_method()
        if self.schedule == "plateau":
            self._require(self.warmup_fraction == 0, "warmup_fraction", "0 with schedule 'plateau'")
        return self

    def _require_of_method(self) -> None:
        """Refuse what the method has no use for."""
        if self.method == "frozen-then-unfrozen":
            allowed = f"from 1 to epochs - 1 = {self.epochs - 1} with method {self.method!r}"
            self._require(1 <= self.head_epochs < self.epochs, "head_epochs", allowed)
        else:
            self._require(self.head_epochs == 0, "head_epochs", f"0 with method {self.method!r}")
        if self.method in PROBES:
            for name in RATES:
                self._require(getattr(self, name) == 1, name, f"1 with method {self.method!r}")
        if self.random_encoder:
            allowed = f"one of {PROBES} with random_encoder"
            self._require(self.method in PROBES, "method", allowed)
            self._require(
                not self.freeze_convolutions, "freeze_convolutions", "False with random_encoder"
            )
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
        if not family.has_tokens:
            allowed = f"another than 'attention-probe' {of_it}"
            self._require(self.method != "attention-probe", "method", allowed)
        if not family.fine_tuning:
            self._require(self.activation_dropout == 0, "activation_dropout", f"0 {of_it}")

    @property
    def history_columns(self) -> tuple[str, ...]:
        """Columns of history.csv."""
        return COLUMNS if self.regression_loss is None else REGRESSION_COLUMNS

    @property
    def patient_from(self) -> int:
        """The last epoch of the head alone: what is trained after it has its own patience."""
        return self.head_epochs

    @property
    def is_exclusive(self) -> bool:
        """Whether just one of the labels is true of a recording that is used."""
        return self.objective == "exclusive"

    @property
    def regression_loss(self) -> str | None:
        """What a training on numbers minimizes; None of one on labels."""
        return self.objective if self.objective in {MEAN_SQUARED_ERROR, HUBER} else None

    @property
    def needs_pretrained(self) -> bool:
        """Whether weights that are not trained must come from somewhere."""
        freezes = self.freeze_convolutions or self.method != "full"
        return freezes and not self.random_encoder

    @property
    def has_layer_rates(self) -> bool:
        """Whether layers of the encoder have other learning rates than the head."""
        return any(getattr(self, name) != 1 for name in RATES)

    @property
    def augments(self) -> bool:
        """Whether training segments are changed at random."""
        return any(getattr(self, name) for name in AUGMENTATIONS)
