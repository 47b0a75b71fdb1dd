"""The signal specs that models ask for, by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from ecg_assets.preprocess.signal_spec import SignalSpec

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
    kind: str,
    *,
    leads: Sequence[str] = ("I",),
    segment_s: float | None = None,
    resampling: str = "linear",
    sample_rate_hz: int = 500,
) -> SignalSpec:
    """Build the spec of a kind; all are of recordings of 10 s.

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

    Raises
    ------
    ValueError
        When there is no such kind, or a value is not allowed.

    >>> signal_spec_of_kind("ecg-fm") == SignalSpec()
    True
    """
    if kind not in SIGNAL_KINDS:
        raise ValueError(f"The kind of signal is {kind!r}; allowed: {SIGNAL_KINDS}.")
    fields = {
        **_FIELDS_OF_KIND[kind],
        "leads": tuple(leads),
        "resampling": resampling,
        "sample_rate_hz": sample_rate_hz,
    }
    fields["n_channels"] = 12 if kind == "ecg-fm" and len(leads) == 1 else len(leads)
    if segment_s is not None:
        fields["segment_s"] = segment_s
    return SignalSpec(**fields)
