"""What a model's input is, by value: it travels in manifests and checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ecg_assets.errors import SpecMismatch
from ecg_assets.lineage import fingerprint_json

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads in the order that fairseq-signals and ECGFounder feed them."""

_ALLOWED = {
    "resampling": ("linear", "polyphase"),
    "filter": ("none", "ecg-founder"),
    "normalization": ("z-score-per-lead", "z-score-all-leads", "none"),
    "fill": ("zero",),
    "unit": ("mV",),
}
_CHOSEN_BY = {
    "leads": "ECG_LEADS",
    "segment_s": "ECG_SEGMENT_S",
    "resampling": "ECG_RESAMPLING",
    "filter": "ECG_SIGNAL_KIND",
    "normalization": "ECG_SIGNAL_KIND",
}


@dataclass(frozen=True)
class SignalSpec:
    """How a recording becomes model input.

    A recording is cut to `record_s` seconds, resampled to `sample_rate_hz`, filtered,
    normalized over what is left, missing samples filled, then cut into non-overlapping
    segments of `segment_s` seconds (the remainder is dropped). `signal_spec_of_kind` builds
    the specs that known models ask for.

    Attributes
    ----------
    leads
        Lead names, in the order of the model's channels.
    n_channels
        Input channels of the model: as many as leads, or 12 for one lead repeated 12 times.
    sample_rate_hz, record_s, segment_s
        Sample rate, and lengths in seconds.
    resampling
        ``linear``: see `resample_linear`. ``polyphase``: see `resample_polyphase`.
    filter
        ``none``. ``ecg-founder``: see `filter_ecg_founder`.
    normalization
        ``z-score-per-lead``: minus the mean, over the population standard deviation; a
        constant lead becomes 0. ``z-score-all-leads``: the same with one mean and one
        deviation for all leads in mV. ``none``: mV.
    fill
        ``zero``: a missing (NaN) sample is 0 after normalization.
    unit
        Unit of the samples before normalization.
    """

    leads: tuple[str, ...] = ("I",)
    n_channels: int = 12
    sample_rate_hz: int = 500
    record_s: float = 10.0
    segment_s: float = 5.0
    resampling: str = "linear"
    filter: str = "none"
    normalization: str = "z-score-per-lead"
    fill: str = "zero"
    unit: str = "mV"

    def __post_init__(self) -> None:
        unknown = [lead for lead in self.leads if lead not in STANDARD_LEADS]
        if unknown or not self.leads or len(set(self.leads)) != len(self.leads):
            raise ValueError(
                f"leads is {self.leads}; expected distinct names out of {STANDARD_LEADS}."
            )
        if self.n_channels != len(self.leads) and len(self.leads) != 1:
            raise ValueError(
                f"n_channels is {self.n_channels} for {len(self.leads)} leads; "
                "it must equal their number (only a single lead can be repeated)."
            )
        if not 0 < self.segment_s <= self.record_s:
            raise ValueError(
                f"segment_s is {self.segment_s}; it must be above 0 and at most "
                f"record_s = {self.record_s}."
            )
        if self.sample_rate_hz <= 0:
            raise ValueError(f"sample_rate_hz is {self.sample_rate_hz}; it must be above 0.")
        for field, allowed in _ALLOWED.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} is {getattr(self, field)!r}; allowed: {allowed}.")
        if self.filter == "ecg-founder" and self.sample_rate_hz <= 100:
            raise ValueError(
                f"sample_rate_hz is {self.sample_rate_hz}; the filter 'ecg-founder' takes 50 Hz "
                "out, so it must be above 100."
            )

    def can_give(self, n_channels: int) -> bool:
        """Whether a model of so many channels can read it: a repeated lead also goes in once.

        >>> [SignalSpec(leads=("I",), n_channels=12).can_give(n) for n in (12, 1, 2)]
        [True, True, False]
        """
        return n_channels in (self.n_channels, len(self.leads))

    def describe_channels(self) -> str:
        """Write the numbers of channels that it can give, e.g. ``1 or 12``."""
        return " or ".join(map(str, sorted({self.n_channels, len(self.leads)})))

    @property
    def needs_millivolts(self) -> bool:
        """Whether the input depends on gain and baseline, or is filtered in mV.

        Where it does not, stored integers are enough.
        """
        return self.filter != "none" or self.normalization != "z-score-per-lead"

    @property
    def record_samples(self) -> int:
        """Samples of a whole recording after resampling."""
        return round(self.record_s * self.sample_rate_hz)

    @property
    def segment_samples(self) -> int:
        """Samples of one segment."""
        return round(self.segment_s * self.sample_rate_hz)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all fields."""
        return fingerprint_json(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; `from_json` reads them back."""
        return {**asdict(self), "leads": list(self.leads)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SignalSpec:
        """Build a spec from `to_json`'s value; one without ``resampling`` is linear.

        >>> SignalSpec.from_json(SignalSpec().to_json()) == SignalSpec()
        True
        """
        return cls(**{**value, "leads": tuple(value["leads"])})


def require_same_spec(expected: SignalSpec, found: SignalSpec, *, where: str) -> None:
    """Raise `SpecMismatch` with both specs and what differs printed, unless they are equal."""
    if expected != found:
        raise SpecMismatch(
            f"Signal spec of {where} differs from the model's.\n"
            f"  model: {expected.to_json()}\n  data:  {found.to_json()}\n"
            f"They differ in {_name_difference(expected, found)}. "
            "Build manifests with the model's spec, or choose a model of this spec."
        )


def _name_difference(one: SignalSpec, other: SignalSpec) -> str:
    """Name the fields that differ, each with the setting that chooses it."""
    fields, others = asdict(one), asdict(other)
    differing = [name for name in fields if fields[name] != others[name]]
    return ", ".join(
        f"{name} ({_CHOSEN_BY[name]})" if name in _CHOSEN_BY else name for name in differing
    )
