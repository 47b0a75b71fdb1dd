"""A recording made of an array and the names of its leads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.errors import BadRecord
from ecg_assets.sources.lead_names import normalize_lead_name
from ecg_assets.sources.record import Record
from ecg_assets.sources.stored_millivolts import store_millivolts

_INT16 = np.iinfo(np.int16)


def find_named_leads(names: Sequence[str], leads: Sequence[str] | None) -> list[int]:
    """Find the positions of leads by name; None stands for all.

    Raises
    ------
    BadRecord
        ``missing_lead``, or ``bad_header`` when two leads have the name asked for.
    """
    if leads is None:
        return list(range(len(names)))
    known = [normalize_lead_name(name) for name in names]
    wanted = [normalize_lead_name(lead) for lead in leads]
    missing = [lead for lead in wanted if lead not in known]
    if missing:
        raise BadRecord("missing_lead", f"{', '.join(missing)} not among {', '.join(known)}"[:200])
    for lead in wanted:
        if known.count(lead) > 1:
            raise BadRecord("bad_header", f"{known.count(lead)} leads are named {lead}")
    return [known.index(lead) for lead in wanted]


def put_leads_first(values: NDArray[Any], n_leads: int) -> NDArray[Any]:
    """Turn ``(sample, lead)`` into ``(lead, sample)``, telling them apart by the leads' number.

    Raises
    ------
    BadRecord
        ``bad_shape`` when no side or both have that length.
    """
    if values.ndim == 1:
        values = values[None]
    is_lead = [size == n_leads for size in values.shape]
    if values.ndim != 2 or sum(is_lead) != 1:
        raise BadRecord(
            "bad_shape",
            f"the array is {' × '.join(map(str, values.shape))}; expected one side of {n_leads}, "
            "the number of leads in folder.yaml",
        )
    return values if is_lead[0] else values.T


def make_array_record(
    values: NDArray[Any],
    names: Sequence[str],
    sample_rate: float,
    *,
    units_per_mv: float | None = None,
) -> Record:
    """Make a recording of ``(lead, sample)`` values.

    Parameters
    ----------
    values
        Floats, NaN where missing, or integers, which are stored as they are and of which
        -32768 is a missing one.
    names
        Name of each lead, in any spelling.
    sample_rate
        Samples per second.
    units_per_mv
        How many of the values' units are one mV; None takes floats for mV.

    Raises
    ------
    BadRecord
        ``unknown_unit`` for integers without `units_per_mv`, ``samples_exceed_int16``,
        ``not_finite``, or ``unreadable`` when the values are no numbers.
    """
    if values.dtype.kind == "f":
        signal, gain, baseline = store_millivolts(values.astype(np.float64) / (units_per_mv or 1.0))
    elif values.dtype.kind not in "iu":
        raise BadRecord("unreadable", f"values are {values.dtype}; expected numbers")
    elif units_per_mv is None:
        raise BadRecord(
            "unknown_unit",
            "values are integers; set units_per_mv in folder.yaml to how many are one mV",
        )
    else:
        signal = _require_int16(values)
        gain = np.full(len(values), units_per_mv)
        baseline = np.zeros(len(values), dtype=np.int64)
    return Record(
        signal=signal,
        gain=gain,
        baseline=baseline,
        units=("mV",) * len(names),
        sample_rate=sample_rate,
        lead_names=tuple(normalize_lead_name(name) for name in names),
    )


def _require_int16(values: NDArray[Any]) -> NDArray[np.int16]:
    if values.size and not _INT16.min <= values.min() <= values.max() <= _INT16.max:
        raise BadRecord(
            "samples_exceed_int16", f"samples run from {values.min()} to {values.max()}"
        )
    return np.ascontiguousarray(values, dtype=np.int16)
