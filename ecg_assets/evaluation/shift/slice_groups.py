"""Which group of each slice a recording belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation.shift.recording_facts import FLAGS

UNKNOWN = "unknown"
"""The group of recordings of which a fact is not known."""

ALL = "all recordings"

SLICES = {
    "all": "every recording",
    "age": "age in years at the recording",
    "sex": "sex",
    "heart_rate": "beats a minute, 60,000 over the cart's own RR interval in ms",
    "signal_flags": "the worst fault of any lead that the model sees",
    "signal_quality": "NeuroKit2's class of the worst lead, where it was asked for",
    "source": "dataset",
    "year": "year of the recording, or its decade",
    "statements": "lines of the machine's report",
    "label_certainty": "whether the report hedges any label",
}
"""Each slice, in the order shown, and what it goes by."""

MOST_YEARS = 15
"""More years than that are put together by decade."""

_AGES = ((18, 40, 60, 80), ("under 18", "18-39", "40-59", "60-79", "80 and over"))
_RATES = ((60, 100 + 1e-9), ("under 60", "60-100", "over 100"))
_STATEMENTS = ((1, 2, 3, 4, 6), ("none", "1", "2", "3", "4-5", "6 and more"))
_FAULTS = dict(
    zip(
        FLAGS,
        ("flat lead", "missing samples", "limb leads disagree", "clipped samples"),
        strict=True,
    )
)


def group_recordings(facts: pd.DataFrame) -> pd.DataFrame:
    """Name the group of each recording in each of `SLICES`.

    Parameters
    ----------
    facts
        A row a recording with the columns of `describe_recordings` and `describe_signals`;
        empty where nothing is known.

    Returns
    -------
    DataFrame
        Texts, one column a slice, in the facts' order; `UNKNOWN` where a fact is missing.
    """
    groups = {
        "all": pd.Series(ALL, index=facts.index),
        "age": _band(facts["age"], *_AGES),
        "sex": facts["sex"],
        "heart_rate": _band(facts["heart_rate_bpm"], *_RATES),
        "signal_flags": _worst_fault(facts),
        "signal_quality": facts["signal_quality"],
        "source": facts["source"],
        "year": name_years(facts["year"]),
        "statements": _band(facts["n_statements"], *_STATEMENTS),
        "label_certainty": facts["is_certain"].map({True: "all certain", False: "some hedged"}),
    }
    table = pd.DataFrame({name: groups[name] for name in SLICES})
    return table.astype(object).where(table.notna(), UNKNOWN)


def name_years(years: pd.Series) -> pd.Series:
    """Name years, or decades where there are more than `MOST_YEARS` of them.

    >>> name_years(pd.Series([2001.0, None])).tolist()
    ['2001', 'unknown']
    """
    known = years.dropna().astype(int)
    named = known.astype(str)
    if known.nunique() > MOST_YEARS:
        first = known // 10 * 10
        named = first.astype(str) + "-" + (first + 9).astype(str)
    return named.reindex(years.index).astype(object).fillna(UNKNOWN)


def order_groups(slice_name: str, groups: Sequence[str]) -> list[str]:
    """Put a slice's groups in the order of their bands, else by name; `UNKNOWN` is last."""
    bands = {"age": _AGES, "heart_rate": _RATES, "statements": _STATEMENTS}
    known = list(bands[slice_name][1]) if slice_name in bands else []
    if slice_name == "signal_flags":
        known = ["none", *_FAULTS.values()]
    place = {name: number for number, name in enumerate(known)}
    return sorted(groups, key=lambda name: (name == UNKNOWN, place.get(name, -1), name))


def _band(values: pd.Series, borders: Sequence[float], names: Sequence[str]) -> pd.Series:
    """Name the band of each number; a border belongs to the band above it."""
    numbers: NDArray[np.float64] = values.to_numpy(np.float64, na_value=np.nan)
    named = np.array(names, dtype=object)[np.digitize(numbers, borders)]
    return pd.Series(named, index=values.index).where(~np.isnan(numbers), None)


def _worst_fault(facts: pd.DataFrame) -> pd.Series:
    """Name the first of `FLAGS` that is set; a recording that is not stored has no flags."""
    worst = pd.Series("none", index=facts.index, dtype=object)
    for flag in reversed(FLAGS):
        worst = worst.mask(facts[flag].fillna(False).astype(bool), _FAULTS[flag])
    return worst.where(facts[FLAGS[0]].notna(), None)
