"""What a model's input is, by value: it travels in manifests and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, get_args

from ecg_assets.errors import SettingsError, SpecMismatch
from ecg_assets.sources.file_limits import MOST_SAMPLES

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads in the order that fairseq-signals and ECGFounder feed them."""

_ALLOWED = {
    "resampling": ("linear", "polyphase"),
    "filter": ("none", "ecg-founder"),
    "normalization": ("z-score-per-lead", "z-score-all-leads", "none"),
    "fill": ("zero",),
    "unit": ("mV",),
}
_NUMBERS: dict[str, tuple[type, ...]] = {
    "n_channels": (int,),
    "sample_rate_hz": (int,),
    "record_s": (float, int, type(None)),
    "segment_s": (float, int),
    "start_s": (float, int),
}
_CHOSEN_BY = {
    "leads": "ECG_LEADS",
    "start_s": "ECG_RECORD_PART",
    "record_s": "ECG_RECORD_PART",
    "segment_s": "ECG_SEGMENT_S",
    "resampling": "ECG_RESAMPLING",
    "filter": "ECG_SIGNAL_KIND",
    "normalization": "ECG_SIGNAL_KIND",
    "sample_rate_hz": "ECG_PRESET",
}


class RecordPart(NamedTuple):
    """Which part of a recording is used: `record_s` seconds from `start_s` on; None for all."""

    start_s: float = 0.0
    record_s: float | None = 10.0


FIRST_10_S = RecordPart()

KIND_FIELDS = ("filter", "normalization", "unit", "sample_rate_hz")
"""What makes signals of one kind: a model that was trained on one can read no other."""


@dataclass(frozen=True)
class SignalSpec:
    """How a recording becomes model input.

    Of a recording `record_s` seconds from `start_s` on are used, resampled to `sample_rate_hz`,
    filtered, normalized over what is used, missing samples filled, then cut into non-overlapping
    segments of `segment_s` seconds (the remainder is dropped). `signal_spec_of_kind` builds
    the specs that known models ask for.

    Attributes
    ----------
    leads
        Lead names, in the order of the model's channels.
    n_channels
        Input channels of the model: as many as leads, or 12 for one lead repeated 12 times.
    sample_rate_hz, segment_s
        Sample rate, and length of a segment in seconds.
    record_s
        Seconds of a recording that are used; None for all to its end.
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
    start_s
        Where the part that is used starts, in seconds.
    """

    leads: tuple[str, ...] = ("I",)
    n_channels: int = 12
    sample_rate_hz: int = 500
    record_s: float | None = 10.0
    segment_s: float = 5.0
    resampling: str = "linear"
    filter: str = "none"
    normalization: str = "z-score-per-lead"
    fill: str = "zero"
    unit: str = "mV"
    start_s: float = 0.0

    def __post_init__(self) -> None:
        unknown = [lead for lead in self.leads if lead not in STANDARD_LEADS]
        if unknown or not self.leads or len(set(self.leads)) != len(self.leads):
            raise ValueError(
                f"leads is {self.leads}; expected distinct names out of {STANDARD_LEADS}."
            )
        self._require_numbers()
        if self.n_channels != len(self.leads) and len(self.leads) != 1:
            raise ValueError(
                f"n_channels is {self.n_channels} for {len(self.leads)} leads; "
                "it must equal their number (only a single lead can be repeated)."
            )
        for field, allowed in _ALLOWED.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} is {getattr(self, field)!r}; allowed: {allowed}.")
        if self.filter == "ecg-founder" and self.sample_rate_hz <= 100:
            raise ValueError(
                f"sample_rate_hz is {self.sample_rate_hz}; the filter 'ecg-founder' takes 50 Hz "
                "out, so it must be above 100."
            )

    def _require_numbers(self) -> None:
        for name, kinds in _NUMBERS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}; expected a number.")
        longest = math.inf if self.record_s is None else self.record_s
        if not 0 < self.segment_s <= longest or math.isinf(self.segment_s):
            raise ValueError(
                f"segment_s is {self.segment_s}; it must be above 0 and at most "
                f"record_s = {self.record_s}."
            )
        if not 0 <= self.start_s < math.inf:
            raise ValueError(f"start_s is {self.start_s}; it must be a number from 0.")
        if self.sample_rate_hz <= 0:
            raise ValueError(f"sample_rate_hz is {self.sample_rate_hz}; it must be above 0.")
        used = self.segment_samples if self.record_s is None else self.record_samples
        if not 1 <= self.segment_samples <= used <= MOST_SAMPLES:
            raise ValueError(
                f"segment_s and record_s are {self.segment_s} and {self.record_s} at "
                f"{self.sample_rate_hz} Hz; they must be 1 to {MOST_SAMPLES} samples."
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

    def has_kind_of(self, other: SignalSpec) -> bool:
        """Whether signals are filtered, normalized and sampled alike: see `KIND_FIELDS`.

        >>> SignalSpec().has_kind_of(SignalSpec(leads=("II",), segment_s=10.0))
        True
        """
        return not set(KIND_FIELDS) & set(find_differing_fields(self, other))

    @property
    def needs_millivolts(self) -> bool:
        """Whether the input depends on gain and baseline, or is filtered in mV.

        Where it does not, stored integers are enough.
        """
        return self.filter != "none" or self.normalization != "z-score-per-lead"

    @property
    def record_samples(self) -> int:
        """Samples after resampling of the part of a recording that is used.

        Raises
        ------
        SettingsError
            When all of each recording is used: they have no length in common.
        """
        if self.record_s is None:
            raise SettingsError(
                "All of each recording is used (record_s is null), and this needs one length. "
                "Set ECG_RECORD_PART to first, or to seconds such as 0-30."
            )
        return round(self.record_s * self.sample_rate_hz)

    def describe_part(self) -> str:
        """Say which part of a recording is used.

        >>> [SignalSpec(start_s=s, record_s=r).describe_part() for s, r in ((0, 10), (5, 30))]
        ['the first 10 s', '5 to 35 s']
        >>> [SignalSpec(start_s=s, record_s=None).describe_part() for s in (0, 5)]
        ['all of it', 'all from 5 s on']
        """
        if self.record_s is None:
            return f"all from {self.start_s:g} s on" if self.start_s else "all of it"
        if not self.start_s:
            return f"the first {self.record_s:g} s"
        return f"{self.start_s:g} to {self.start_s + self.record_s:g} s"

    @property
    def segment_samples(self) -> int:
        """Samples of one segment."""
        return round(self.segment_s * self.sample_rate_hz)

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values, `start_s` where it is not 0; `from_json` reads them back."""
        value = {**asdict(self), "leads": list(self.leads)}
        if not self.start_s:
            del value["start_s"]  # so that specs of before there was a choice stay the same
        return value

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
            f"Signal spec of {where} differs from the manifest's.\n"
            f"  manifest: {expected.to_json()}\n  found:    {found.to_json()}\n"
            f"They differ in {name_fields(find_differing_fields(expected, found))}. "
            "Make both with the same settings."
        )


def find_differing_fields(one: SignalSpec, other: SignalSpec) -> list[str]:
    """Find the names of the fields that differ, in their order."""
    fields, others = asdict(one), asdict(other)
    return [name for name in fields if fields[name] != others[name]]


def name_fields(names: Sequence[str]) -> str:
    """Name fields of a spec, each with the setting that chooses it.

    >>> name_fields(["leads", "n_channels"])
    'leads (ECG_LEADS), n_channels'
    """
    return ", ".join(
        f"{name} ({_CHOSEN_BY[name]})" if name in _CHOSEN_BY else name for name in names
    )


# The signal specs that models ask for, by name.


SignalKind = Literal["ecg-fm", "ecg-founder", "raw"]
SIGNAL_KINDS: tuple[SignalKind, ...] = get_args(SignalKind)

_FIELDS_OF_KIND: dict[str, dict[str, Any]] = {
    "ecg-fm": {},
    "ecg-founder": {
        "filter": "ecg-founder",
        "normalization": "z-score-all-leads",
        "segment_s": 10.0,
    },
    "raw": {"normalization": "none"},
}


def signal_spec_of_kind(
    kind: str | Mapping[str, Any],
    *,
    leads: Sequence[str] = ("I",),
    segment_s: float | None = None,
    resampling: str = "linear",
    sample_rate_hz: int = 500,
    part: RecordPart = FIRST_10_S,
) -> SignalSpec:
    """Build the spec of a kind; by default the first 10 s of a recording are used.

    Parameters
    ----------
    kind
        ``ecg-fm``: as fairseq-signals prepares ECG-FM's input: each lead z-scored, a single
        lead repeated 12 times. ``ecg-founder``: filtered as ECGFounder does it, all leads
        z-scored together. ``raw``: mV as they are.
    leads
        Lead names, in the order of the model's channels.
    segment_s
        Seconds of a segment; by default 10 for ``ecg-founder``, 5 for the others.
    resampling
        ``linear`` or ``polyphase``.
    sample_rate_hz
        Sample rate; 500 is what the models of these kinds read.
    part
        Which part of a recording is used.

    Raises
    ------
    ValueError
        When there is no such kind, or a value is not allowed.

    >>> signal_spec_of_kind("ecg-fm") == SignalSpec()
    True
    """
    if isinstance(kind, str) and kind not in SIGNAL_KINDS:
        raise ValueError(f"The kind of signal is {kind!r}; allowed: {SIGNAL_KINDS}.")
    fields = {
        **(_FIELDS_OF_KIND[kind] if isinstance(kind, str) else kind),
        "leads": tuple(leads),
        "resampling": resampling,
        "sample_rate_hz": sample_rate_hz,
        **part._asdict(),
    }
    fields["n_channels"] = 12 if kind == "ecg-fm" and len(leads) == 1 else len(leads)
    if segment_s is not None:
        fields["segment_s"] = segment_s
    return SignalSpec(**fields)
