"""The values of a signal spec's steps: filters and normalizations, as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from ecg_assets.frozen_model import FrozenModel

STEPS = ("part", "resample", "filter", "normalize", "segment")
"""What is done to a recording, in the order of most models."""


def _require_band(low_hz: float | None, high_hz: float | None) -> None:
    if low_hz is None and high_hz is None:
        raise ValueError("low_hz and high_hz are both missing; give one or both.")
    if low_hz is not None and high_hz is not None and low_hz >= high_hz:
        raise ValueError(f"low_hz is {low_hz}; it must be below high_hz = {high_hz}.")


class Butterworth(FrozenModel):
    """A Butterworth filter: high-pass with `low_hz` alone, low-pass with `high_hz`, or band-pass.

    Attributes
    ----------
    form
        ``sos``: a chain of second-order sections. ``ba``: one quotient of polynomials, which loses
        digits at low frequencies, for models that were trained on it.
    zero_phase
        Forwards and backwards (the response squared); else forwards alone.
    """

    kind: Literal["butterworth"] = "butterworth"
    order: int = Field(ge=1, le=20)
    low_hz: float | None = Field(default=None, gt=0)
    high_hz: float | None = Field(default=None, gt=0)
    form: Literal["sos", "ba"] = "sos"
    zero_phase: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_band(self.low_hz, self.high_hz)
        return self


class Fir(FrozenModel):
    """A band-pass of a Hamming window: ``int(length_s × sample rate)`` taps, made odd."""

    kind: Literal["fir"] = "fir"
    low_hz: float = Field(gt=0)
    high_hz: float = Field(gt=0)
    length_s: float = Field(gt=0, le=10)
    zero_phase: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        _require_band(self.low_hz, self.high_hz)
        return self


class Notch(FrozenModel):
    """A notch of one frequency, forwards and backwards."""

    kind: Literal["notch"] = "notch"
    frequency_hz: float = Field(gt=0)
    quality: float = Field(gt=0)


class MedianBaseline(FrozenModel):
    """Minus the median over a window of ``int(window_s × sample rate) + 1`` samples, made odd."""

    kind: Literal["median-baseline"] = "median-baseline"
    window_s: float = Field(gt=0, le=10)


Filter = Annotated[Butterworth | Fir | Notch | MedianBaseline, Field(discriminator="kind")]

_FILTERS: TypeAdapter[tuple[Any, ...]] = TypeAdapter(tuple[Filter, ...])

NAMED_FILTERS: dict[str, tuple[Any, ...]] = {
    "none": (),
    # `filter_bandpass` of https://github.com/PKUDigitalHealth/ECGFounder. Its one quotient of
    # polynomials of order 8 loses digits with each Hz of the sample rate (1e-6 mV at 500, 1e-4 at
    # 1000); a chain of quotients of order 2 does not.
    "ecg-founder": (
        Notch(frequency_hz=50, quality=30),
        Butterworth(order=4, low_hz=0.67, high_hz=40),
        MedianBaseline(window_s=0.4),
    ),
}
"""Filters by the names that specs have them under."""


class Normalization(FrozenModel):
    """How samples in mV become model input.

    Attributes
    ----------
    kind
        ``z-score``: minus the mean, over the population standard deviation plus `epsilon`; without
        deviation 0. ``min-max``: from the smallest and the largest to `low` and `high`, `epsilon`
        added to their distance. ``none``: mV.
    scope
        Of what these are measured: each ``lead``; all leads of a ``recording`` together (of what is
        left of it at this step); or a ``dataset``, whose `mean` and `deviation` in mV are given,
        of all leads or of each.
    """

    kind: Literal["z-score", "min-max", "none"]
    scope: Literal["lead", "recording", "dataset"] = "lead"
    epsilon: float = Field(default=0.0, ge=0)
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        of_dataset = self.scope == "dataset"
        if of_dataset and self.kind != "z-score":
            self._require(False, "kind", "z-score with the scope dataset")
        fits = len(self.mean) == len(self.deviation) and bool(self.mean) == of_dataset
        self._require(
            fits and all(one > 0 for one in self.deviation),
            "deviation",
            "above 0, of as many leads as mean, with the scope dataset and no other",
        )
        self._require(self.high > self.low, "high", f"above low = {self.low}")
        return self


NAMED_NORMALIZATIONS: dict[str, Normalization] = {
    "none": Normalization(kind="none"),
    "z-score-per-lead": Normalization(kind="z-score"),
    # Source: `z_score_normalization` in ECGFounder's dataset.py.
    "z-score-all-leads": Normalization(kind="z-score", scope="recording", epsilon=1e-8),
}
"""Normalizations by the names that specs have them under."""


def read_filter(value: Any) -> str | tuple[Any, ...]:
    """Read a spec's filter: a name, or steps in order; steps that have a name become it.

    Raises
    ------
    ValueError
        When a value is not allowed.
    """
    if isinstance(value, str):
        if value not in NAMED_FILTERS:
            raise ValueError(
                f"filter is {value!r}; allowed: {tuple(NAMED_FILTERS)}, or a list of steps."
            )
        return value
    steps = _validate("filter", value)
    return next((name for name, named in NAMED_FILTERS.items() if named == steps), steps)


def read_normalization(value: Any) -> str | Normalization:
    """Read a spec's normalization: a name, or its fields; fields that have a name become it.

    Fields that its kind does not read stay at their defaults, so that what is the same is equal.

    Raises
    ------
    ValueError
        When a value is not allowed.
    """
    if isinstance(value, str):
        if value not in NAMED_NORMALIZATIONS:
            raise ValueError(
                f"normalization is {value!r}; allowed: {tuple(NAMED_NORMALIZATIONS)}, or its "
                f"fields {tuple(Normalization.model_fields)}."
            )
        return value
    if not isinstance(value, Normalization | Mapping):
        raise ValueError(
            f"normalization is {value!r}; expected a name or {tuple(Normalization.model_fields)}."
        )
    found = value if isinstance(value, Normalization) else Normalization(**value)
    if found.kind == "none":
        found = NAMED_NORMALIZATIONS["none"]
    elif found.kind == "z-score":
        found = found.changed(low=0.0, high=1.0)
    return next((name for name, one in NAMED_NORMALIZATIONS.items() if one == found), found)


def describe_filter(value: str | Sequence[Any]) -> str:
    """Say what filters do, in words.

    >>> describe_filter("ecg-founder")[:45]
    'a notch at 50 Hz (quality 30), Butterworth of'
    """
    steps = NAMED_FILTERS[value] if isinstance(value, str) else value
    return ", ".join(_describe_step(step) for step in steps) or "no filter"


def describe_normalization(value: str | Normalization) -> str:
    """Say how samples are normalized, in words.

    >>> describe_normalization("z-score-per-lead")
    'z-score of each lead'
    """
    found = NAMED_NORMALIZATIONS[value] if isinstance(value, str) else value
    if found.kind == "none":
        return "none: mV"
    of = {
        "lead": "of each lead",
        "recording": "of all leads together",
        "dataset": "by a dataset's mean and deviation",
    }[found.scope]
    to = f" to {found.low:g} … {found.high:g}" if found.kind == "min-max" else ""
    plus = f", ε {found.epsilon:g}" if found.epsilon else ""
    return f"{found.kind} {of}{to}{plus}"


def _describe_step(step: Any) -> str:
    match step:
        case Butterworth():
            passes = ", forwards and backwards" if step.zero_phase else ", forwards"
            return (
                f"Butterworth of order {step.order} {_describe_band(step.low_hz, step.high_hz)}"
                f"{passes}{'' if step.form == 'sos' else ', as one quotient of polynomials'}"
            )
        case Fir():
            passes = ", forwards and backwards" if step.zero_phase else ", forwards"
            band = _describe_band(step.low_hz, step.high_hz)
            return f"FIR of {step.length_s:g} s (Hamming window) {band}{passes}"
        case Notch():
            return f"a notch at {step.frequency_hz:g} Hz (quality {step.quality:g})"
    return f"minus the median over {step.window_s:g} s"


def _describe_band(low_hz: float | None, high_hz: float | None) -> str:
    if low_hz is None:
        return f"below {high_hz:g} Hz"
    if high_hz is None:
        return f"above {low_hz:g} Hz"
    return f"{low_hz:g}–{high_hz:g} Hz"


def highest_frequency(steps: Sequence[Any]) -> float:
    """Find the highest frequency in Hz that filters name; 0 without filters."""
    names = ("low_hz", "high_hz", "frequency_hz")
    return max((getattr(step, name, None) or 0.0 for step in steps for name in names), default=0.0)


def _validate(name: str, value: Any) -> tuple[Any, ...]:
    try:
        return _FILTERS.validate_python(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        at = ".".join(map(str, (name, *fault["loc"])))
        said = fault["msg"].removeprefix("Value error, ").rstrip(".")
        raise ValueError(f"{at}: {said}; found {fault['input']!r}.") from None
