"""What a model's input is, by value: it travels in manifests and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from ecg_assets.errors import SettingsError, SpecMismatch
from ecg_assets.preprocess.signal_steps import (
    NAMED_FILTERS,
    NAMED_NORMALIZATIONS,
    STEPS,
    Normalization,
    describe_filter,
    describe_normalization,
    highest_frequency,
    read_filter,
    read_normalization,
)
from ecg_assets.sources.file_limits import MOST_SAMPLES

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve leads in the order that fairseq-signals and ECGFounder feed them."""

RESAMPLING = ("linear", "linear-by-time", "polyphase", "fourier", "kaiser-best")
"""Methods of `ecg_assets.preprocess.resample`, by name."""
_ALLOWED: dict[str, tuple[object, ...]] = {
    "resampling": RESAMPLING,
    "fill": ("zero", "mean"),
    "unit": ("mV",),
    "padding": ("none", "zeros"),
    "layout": ("channels", "end-to-end"),
    "aggregation": ("by-label", "mean", "max"),
}
_NUMBERS: dict[str, tuple[type, ...]] = {
    "n_channels": (int,),
    "sample_rate_hz": (int,),
    "record_s": (float, int, type(None)),
    "segment_s": (float, int),
    "start_s": (float, int),
    "stride_s": (float, int, type(None)),
    "decimation": (int,),
}
_CHOSEN_BY = {
    "leads": "ECG_LEADS",
    "start_s": "ECG_RECORD_PART",
    "record_s": "ECG_RECORD_PART",
    "segment_s": "ECG_SEGMENT_S",
    "resampling": "ECG_RESAMPLING",
    "filter": "ECG_SIGNAL_KIND",
    "normalization": "ECG_SIGNAL_KIND",
    "order": "ECG_SIGNAL_KIND",
    "layout": "ECG_SIGNAL_KIND",
    "decimation": "ECG_SIGNAL_KIND",
    "sample_rate_hz": "ECG_PRESET",
}

_ADDED = ("start_s", "order", "stride_s", "padding", "layout", "decimation", "aggregation")
"""Fields that the first stored specs did not have."""


_FILLS = {"zero": "0", "mean": "the mean of the segment's other samples"}


class RecordPart(NamedTuple):
    """Which part of a recording is used: `record_s` seconds from `start_s` on; None for all."""

    start_s: float = 0.0
    record_s: float | None = 10.0


FIRST_10_S = RecordPart()

KIND_FIELDS = (
    *("filter", "normalization", "unit", "sample_rate_hz"),
    *("order", "layout", "decimation"),
)
"""What makes signals of one kind: a model that was trained on one can read no other."""


@dataclass(frozen=True)
class SignalSpec:
    """How a recording becomes model input.

    Of a recording `record_s` seconds from `start_s` on are used, resampled to `sample_rate_hz`,
    filtered, normalized over what is used, and cut into segments of `segment_s` seconds, which
    follow each other by `stride_s` (the remainder is dropped); missing samples are filled, and
    the leads laid out as the model reads them. `order` can put these steps otherwise.
    `signal_spec_of_kind` builds the specs that known models ask for.

    Attributes
    ----------
    leads
        Lead names, in the order of the model's channels.
    n_channels
        Input channels of the model: as many as leads, or 12 for one lead repeated 12 times; 1
        where leads are laid end to end.
    sample_rate_hz, segment_s
        Sample rate, and length of a segment in seconds.
    record_s
        Seconds of a recording that are used; None for all to its end.
    resampling
        One of `RESAMPLING`. ``linear``: see `resample_linear`; ``linear-by-time``: see
        `resample_by_time`; ``polyphase``: see `resample_polyphase`; ``fourier``: see
        `resample_fourier`; ``kaiser-best``: see `resample_kaiser_best`.
    filter
        ``none``, ``ecg-founder`` (see `NAMED_FILTERS`), or steps of
        `ecg_assets.preprocess.signal_steps`, as values or JSON objects.
    normalization
        ``z-score-per-lead``: minus the mean, over the population standard deviation; a
        constant lead becomes 0. ``z-score-all-leads``: the same with one mean and one
        deviation for all leads in mV, to which 1e-8 is added. ``none``: mV. Or a
        `Normalization`, as a value or a JSON object.
    fill
        ``zero``: a missing (NaN) sample is 0 after normalization. ``mean``: it is the mean of
        all other samples of its segment, all leads together; 0 where there are none.
    unit
        Unit of the samples before normalization.
    start_s
        Where the part that is used starts, in seconds.
    order
        The steps `STEPS`, each once, in the order in which they are done. What comes after
        ``segment`` is done to each segment by itself.
    stride_s
        Seconds from the start of a segment to that of the next; None: `segment_s`.
    padding
        ``zeros``: a recording that is shorter than a segment is made as long, with 0 mV on its
        right, when the part is taken. ``none``: it is left out.
    layout
        ``channels``: ``(lead, sample)``. ``end-to-end``: one row, lead after lead.
    decimation
        Of leads laid end to end every so many-th sample is kept, after the low-pass of
        ``scipy.signal.decimate`` over the whole row, which rings from one lead into the next.
    aggregation
        How the probabilities of a recording's segments become one: ``by-label`` as the labels
        say; ``mean`` or ``max`` for all.
    """

    leads: tuple[str, ...] = ("I",)
    n_channels: int = 12
    sample_rate_hz: int = 500
    record_s: float | None = 10.0
    segment_s: float = 5.0
    resampling: str = "linear"
    filter: str | tuple[Any, ...] = "none"
    normalization: str | Normalization = "z-score-per-lead"
    fill: str = "zero"
    unit: str = "mV"
    start_s: float = 0.0
    order: tuple[str, ...] = STEPS
    stride_s: float | None = None
    padding: str = "none"
    layout: str = "channels"
    decimation: int = 1
    aggregation: str = "by-label"

    def __post_init__(self) -> None:
        for name in ("leads", "order"):
            if not isinstance(getattr(self, name), list | tuple | str):
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected a list of names.")
        # One value has one form: named ones their name, lists of JSON tuples.
        object.__setattr__(self, "leads", tuple(self.leads))
        object.__setattr__(self, "order", tuple(self.order))
        object.__setattr__(self, "filter", read_filter(self.filter))
        object.__setattr__(self, "normalization", read_normalization(self.normalization))
        if self.stride_s == self.segment_s:
            object.__setattr__(self, "stride_s", None)
        unknown = [lead for lead in self.leads if lead not in STANDARD_LEADS]
        if unknown or not self.leads or len(set(self.leads)) != len(self.leads):
            raise ValueError(
                f"leads is {self.leads}; expected distinct names out of {STANDARD_LEADS}."
            )
        self._require_numbers()
        self._require_channels()
        for field, allowed in _ALLOWED.items():
            if getattr(self, field) not in allowed:
                raise ValueError(f"{field} is {getattr(self, field)!r}; allowed: {allowed}.")
        self._require_order()
        if len(self.how_normalized.mean) not in (0, 1, len(self.leads)):
            raise ValueError(
                f"normalization has {len(self.how_normalized.mean)} means for {len(self.leads)} "
                "leads; give one, or one for each."
            )

    def _require_order(self) -> None:
        if sorted(self.order) != sorted(STEPS):
            raise ValueError(f"order is {self.order}; expected each of {STEPS} once.")
        if self.order.index("part") > self.order.index("segment"):
            raise ValueError(f"order is {self.order}; part must come before segment.")
        if self.order.index("resample") > self.order.index("segment"):
            raise ValueError(f"order is {self.order}; resample must come before segment.")
        highest = highest_frequency(self.filter_steps)
        is_resampled = self.order.index("resample") < self.order.index("filter")
        if is_resampled and highest and self.sample_rate_hz <= 2 * highest:
            raise ValueError(
                f"sample_rate_hz is {self.sample_rate_hz}; the filter {self.filter!r} knows "
                f"{highest:g} Hz, so it must be above {2 * highest:g}."
            )

    def _require_channels(self) -> None:
        if self.layout == "end-to-end":
            if self.n_channels != 1:
                raise ValueError(
                    f"n_channels is {self.n_channels}; leads laid end to end are 1 channel."
                )
            return
        if self.decimation != 1:
            raise ValueError(
                f"decimation is {self.decimation}; it is for leads laid end to end. Set "
                "sample_rate_hz instead."
            )
        if self.n_channels != len(self.leads) and len(self.leads) != 1:
            raise ValueError(
                f"n_channels is {self.n_channels} for {len(self.leads)} leads; "
                "it must equal their number (only a single lead can be repeated)."
            )

    def _require_numbers(self) -> None:
        for name, kinds in _NUMBERS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise ValueError(f"{name} is {value!r}; expected a number.")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is {value}; it must be finite.")
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
        if self.stride_s is not None and not 1 <= self.stride_samples <= MOST_SAMPLES:
            raise ValueError(f"stride_s is {self.stride_s}; it must be 1 sample or more.")
        if not 1 <= self.decimation <= 13:  # beyond it scipy's filter is not stable
            raise ValueError(f"decimation is {self.decimation}; it must be 1 to 13.")
        used = self.window_samples if self.record_s is None else self.record_samples
        if not 1 <= self.window_samples <= used <= MOST_SAMPLES:
            raise ValueError(
                f"segment_s and record_s are {self.segment_s} and {self.record_s} at "
                f"{self.sample_rate_hz} Hz; they must be 1 to {MOST_SAMPLES} samples."
            )

    def can_give(self, n_channels: int) -> bool:
        """Whether a model of so many channels can read it: a repeated lead also goes in once.

        >>> [SignalSpec(leads=("I",), n_channels=12).can_give(n) for n in (12, 1, 2)]
        [True, True, False]
        """
        return n_channels in (self.n_channels, self.n_rows)

    def describe_channels(self) -> str:
        """Write the numbers of channels that it can give, e.g. ``1 or 12``."""
        return " or ".join(map(str, sorted({self.n_channels, self.n_rows})))

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
        is_plain = self.filter == "none" and self.normalization == "z-score-per-lead"
        return not is_plain or self.holds_segments

    @property
    def holds_segments(self) -> bool:
        """Whether standardized recordings are their segments one after another.

        They are where segments overlap, are filtered, filled or laid out one by one, or come of
        padding; else they are recordings that any cut gives segments of.
        """
        is_plain = self.order == STEPS and self.stride_s is None and self.fill == "zero"
        return not is_plain or self.padding != "none" or self.layout != "channels"

    @property
    def filter_steps(self) -> tuple[Any, ...]:
        """The steps of its filter."""
        return NAMED_FILTERS[self.filter] if isinstance(self.filter, str) else self.filter

    @property
    def how_normalized(self) -> Normalization:
        """Its normalization by value."""
        how = self.normalization
        return NAMED_NORMALIZATIONS[how] if isinstance(how, str) else how

    @property
    def n_rows(self) -> int:
        """Rows of a standardized recording: its leads, or 1 where they are laid end to end."""
        return 1 if self.layout == "end-to-end" else len(self.leads)

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

    def describe_steps(self) -> list[str]:
        """Say what is done to a recording, a sentence a step in their order.

        >>> SignalSpec().describe_steps()[0]
        'Keep the first 10 s.'
        """
        every = "that do not overlap"
        if self.stride_s is not None:
            every = f"of which each starts {self.stride_s:g} s after the one before"
        padding = (
            ", filled up with 0 mV on the right to a segment" if self.padding != "none" else ""
        )
        sentences = {
            "part": f"Keep {self.describe_part()}{padding}.",
            "resample": f"Resample to {self.sample_rate_hz} Hz ({self.resampling}).",
            "filter": f"Filter each lead: {describe_filter(self.filter)}.",
            "normalize": f"Normalization: {describe_normalization(self.normalization)}.",
            "segment": f"Cut into segments of {self.segment_s:g} s {every}.",
        }
        steps = [sentences[step] for step in self.order]
        steps.append(f"Missing samples become {_FILLS[self.fill]}.")
        if self.layout == "end-to-end":
            thinned = f", decimated by {self.decimation}" if self.decimation > 1 else ""
            steps.append(f"Lay the leads end to end{thinned}.")
        return steps

    @property
    def window_samples(self) -> int:
        """Samples of one lead of a segment."""
        return round(self.segment_s * self.sample_rate_hz)

    @property
    def stride_samples(self) -> int:
        """Samples from the start of a segment to that of the next."""
        stride_s = self.segment_s if self.stride_s is None else self.stride_s
        return round(stride_s * self.sample_rate_hz)

    @property
    def segment_samples(self) -> int:
        """Samples of one row of a segment, as the model reads it."""
        if self.layout == "channels":
            return self.window_samples
        return -(-self.window_samples * len(self.leads) // self.decimation)

    def to_json(self) -> dict[str, Any]:
        """Fields as JSON values; those that specs did not have at first where they are chosen.

        `from_json` reads them back.
        """
        value: dict[str, Any] = {one.name: getattr(self, one.name) for one in fields(self)}
        for one in fields(self):
            # So that specs of before there was a choice stay the same.
            if one.name in _ADDED and value[one.name] == one.default:
                del value[one.name]
        value["leads"] = list(self.leads)
        if "order" in value:
            value["order"] = list(self.order)
        if isinstance(self.filter, tuple):
            value["filter"] = [step.model_dump(mode="json") for step in self.filter]
        if isinstance(self.normalization, Normalization):
            value["normalization"] = self.normalization.model_dump(mode="json")
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
    names = [field.name for field in fields(SignalSpec)]
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def name_fields(names: Sequence[str]) -> str:
    """Name fields of a spec, each with the setting that chooses it.

    >>> name_fields(["leads", "n_channels"])
    'leads (ECG_LEADS), n_channels'
    """
    return ", ".join(
        f"{name} ({_CHOSEN_BY[name]})" if name in _CHOSEN_BY else name for name in names
    )


# The signal specs that models ask for, by name.


SIGNAL_KINDS = ("ecg-fm", "ecg-founder", "raw")
"""Names that `signal_spec_of_kind` knows; families of models bring others by value."""

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
        z-scored together. ``raw``: mV as they are. Or the fields of a kind of one's own by
        value; what they say of the other parameters goes before these.
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
    fields_of_kind = _FIELDS_OF_KIND[kind] if isinstance(kind, str) else kind
    leads = fields_of_kind.get("leads", leads)
    values: dict[str, Any] = {
        "leads": leads,
        "resampling": resampling,
        "sample_rate_hz": sample_rate_hz,
        "n_channels": 12 if kind == "ecg-fm" and len(leads) == 1 else len(leads),
        **part._asdict(),
        **fields_of_kind,
    }
    if values.get("layout") == "end-to-end":
        values["n_channels"] = 1
    if segment_s is not None:
        values["segment_s"] = segment_s
    return SignalSpec(**values)
