"""Metrics of groups of recordings, with intervals over patients."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.evaluation.shift.recording_facts import FLAGS
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.figures import ACCENT, INK, MUTED, draw_interval, make_figure, to_png
from ecg_assets.known import is_known, is_positive
from ecg_assets.metrics.intervals import LEAST_PATIENTS, BootstrapIntervals, bootstrap_by_patient
from ecg_assets.metrics.metrics import (
    MACRO,
    measured_in_groups,
    pick_macro,
    places_of,
    tabulate,
)
from ecg_assets.metrics.sums import ratio
from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Which group of each slice a recording belongs to.


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


SLICE_METRICS = TableSchema(
    "slice_metrics",
    (
        Column("slice", pa.string(), f"what the recordings are grouped by: {', '.join(SLICES)}"),
        Column("group", pa.string(), "the group; unknown where the fact is missing"),
        Column("label", pa.string(), "a label, or macro: the mean over the group's labels"),
        Column("metric", pa.string(), f"one of {', '.join(measured_in_groups())}"),
        Column("value", pa.float64(), "empty where the group has one class only", nullable=True),
        Column(
            "low",
            pa.float64(),
            f"lower end of the 95 % interval; empty of fewer than {LEAST_PATIENTS} patients",
            nullable=True,
        ),
        Column("high", pa.float64(), "upper end of the 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings in the group"),
        Column("n_patients", pa.int64(), "patients in the group"),
        Column("n_pos", pa.int64(), "positives of the label; of macro, of all its labels"),
        Column("is_uncertain", pa.bool_(), "fewer than 20 positives or negatives of a label"),
        Column("n_labels", pa.int64(), "labels in the mean; 1 for a label, 0 where undefined"),
        Column(
            "whole_set",
            pa.float64(),
            "the metric of all recordings, its mean over the same labels",
            nullable=True,
        ),
        Column("n_resamples", pa.int64(), "resamples of patients behind the interval"),
    ),
)

FEW = 20
"""A group with fewer positives or negatives of a label tells little of it."""


def evaluate_slices(
    predictions: Predictions,
    thresholds: Thresholds,
    groups: pd.DataFrame,
    *,
    n_resamples: int,
    seed: int,
    least_patients: int = LEAST_PATIENTS,
) -> pd.DataFrame:
    """Evaluate each group of each slice.

    The labels that are defined differ from group to group, and with them the macro mean:
    compare a group with ``whole_set``, which is of all recordings over the same labels.

    Parameters
    ----------
    predictions
        Scores of the evaluation set.
    thresholds
        Chosen on the validation split.
    groups
        Group of each recording in each slice, in the order of the predictions, as
        `group_recordings` names them.
    n_resamples, seed
        Of the bootstrap over the patients of a group; each group starts from the seed.
    least_patients
        A group of fewer has no intervals.

    Returns
    -------
    DataFrame
        As `SLICE_METRICS` declares.

    Raises
    ------
    ValueError
        When the groups are not of as many recordings as the predictions.
    """
    if len(groups) != len(predictions):
        raise ValueError(f"groups has {len(groups)} rows for {len(predictions)} recordings.")
    everyone = np.ones(len(predictions), bool)
    bootstrap = partial(
        _bootstrap,
        predictions,
        thresholds,
        n_resamples=n_resamples,
        seed=seed,
        least_patients=least_patients,
    )
    whole = bootstrap(everyone)
    tables = []
    for name in groups.columns:
        of_slice = groups[name].to_numpy()
        for group in order_groups(str(name), list(pd.unique(of_slice))):
            rows = of_slice == group
            found = whole
            if not rows.all():
                found = bootstrap(rows)
            table = _tabulate(predictions, rows, found, whole)
            tables.append(table.assign(slice=name, group=group, n_resamples=n_resamples))
    columns = [column.name for column in SLICE_METRICS.columns]
    return pd.concat(tables, ignore_index=True)[columns] if tables else SLICE_METRICS.empty()


def _bootstrap(
    predictions: Predictions,
    thresholds: Thresholds,
    rows: NDArray[np.bool_],
    *,
    n_resamples: int,
    seed: int,
    least_patients: int,
) -> BootstrapIntervals:
    return bootstrap_by_patient(
        predictions.target[rows],
        predictions.score[rows],
        thresholds.values,
        predictions.subject_ids[rows],
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
        least_patients=least_patients,
    )


def _tabulate(
    predictions: Predictions,
    rows: NDArray[np.bool_],
    found: BootstrapIntervals,
    whole: BootstrapIntervals,
) -> pd.DataFrame:
    """Make a row of each label and macro, and each metric, of one group."""
    names, metrics = [*predictions.vocabulary.names, MACRO], measured_in_groups()
    n_metrics = len(metrics)
    of_group, low, high, of_all = (
        array[: len(names), places_of(metrics)]
        for array in (found.values, found.low, found.high, whole.values)
    )
    target = predictions.target[rows]
    n_pos, n_known = (one(target).sum(axis=0, dtype=np.int64) for one in (is_positive, is_known))
    is_few = np.tile((np.minimum(n_pos, n_known - n_pos) < FEW)[:, None], n_metrics)
    defined = np.isfinite(of_group[:-1])
    count = defined.sum(axis=0)
    same = np.where(defined, of_all[:-1], 0.0).sum(axis=0)
    mean = ratio(same, count)
    return tabulate(
        names,
        metrics,
        value=of_group,
        low=low,
        high=high,
        n=np.append(n_known, len(target))[:, None],
        n_patients=len(np.unique(predictions.subject_ids[rows])),
        n_pos=np.vstack([np.tile(n_pos[:, None], n_metrics), n_pos @ defined]),
        is_uncertain=np.vstack([is_few, (is_few & defined).any(axis=0) | (count == 0)]),
        n_labels=np.vstack([defined.astype(np.int64), count]),
        whole_set=np.vstack([np.where(defined, of_all[:-1], np.nan), mean]),
    )


# The picture: each group's interval, and all recordings beside it.


def draw_slice_forest(slices: pd.DataFrame) -> bytes:
    """Draw each group's macro AUROC with its interval, and that of all recordings beside it.

    Slices that put all recordings into one group are left out, but for the first.

    Parameters
    ----------
    slices
        As `SLICE_METRICS` declares.
    """
    rows = pick_macro(slices)
    n_groups = rows.groupby("slice")["group"].transform("size")
    rows = rows[(n_groups > 1) | (rows["slice"] == "all")]
    first = ~rows["slice"].duplicated()
    y = -(np.arange(len(rows)) + np.cumsum(first.to_numpy()) * 0.9)
    figure, [[axes]] = make_figure(9, 0.24 * -y[-1] + 1.5, lines="x", is_list=True)
    for place, row in zip(y, rows.to_dict("records"), strict=True):
        _draw_group(axes, place, row)
    for place, name in zip(y[first], rows.loc[first, "slice"], strict=True):
        _draw_heading(axes, place + 0.95, str(name).replace("_", " "))
    counts = zip(rows["group"], rows["n"], rows["n_labels"], strict=True)
    names = [f"{group}  ({n:,} · {n_labels})" for group, n, n_labels in counts]
    axes.set_yticks(y, names, fontsize=8)
    known = rows[["value", "low", "whole_set"]].min().min()
    axes.set_xlim(min(0.9, known if np.isfinite(known) else 0.5) - 0.02, 1.01)
    axes.set_ylim(y[-1] - 0.8, y[0] + 1.6)
    axes.set_xlabel("macro AUROC, 95 % interval (patients resampled); in brackets: n · labels")
    _add_legend(figure)
    return to_png(figure)


def _draw_group(axes: Axes, place: float, row: Mapping[Hashable, Any]) -> None:
    if not np.isfinite(row["value"]):
        where = axes.get_yaxis_transform()
        axes.text(0.01, place, "undefined", transform=where, color=MUTED, va="center", fontsize=7.5)
        return
    color = MUTED if row["is_uncertain"] else ACCENT
    axes.plot([row["whole_set"]] * 2, [place - 0.35, place + 0.35], color=INK, linewidth=1.2)
    draw_interval(axes, place, (row["value"], row["low"], row["high"]), color)


def _draw_heading(axes: Axes, place: float, name: str) -> None:
    axes.text(
        -0.005,
        place,
        name,
        transform=axes.get_yaxis_transform(),
        ha="right",
        va="center",
        fontsize=8.5,
        fontweight="bold",
        color=INK,
    )


def _add_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=ACCENT, marker="o", linewidth=2, markersize=5),
        Line2D([], [], color=MUTED, marker="o", linewidth=2, markersize=5),
        Line2D([], [], color=MUTED, marker="o", linewidth=0, markersize=5, markerfacecolor="white"),
        Line2D([], [], color=INK, marker="|", linewidth=0, markersize=9),
    ]
    names = [
        "group",
        "a label has < 20 positives or negatives",
        "too few for an interval",
        "all recordings, same labels",
    ]
    figure.legend(handles, names, loc="outside upper center", ncols=4, fontsize=8, frameon=False)
