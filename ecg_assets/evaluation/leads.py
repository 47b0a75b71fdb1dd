"""Fewer leads than twelve on the same recordings: which configurations, and as what input.

A lead that a configuration lacks is 0 in the model's input, after standardization, as in the
random lead masking of ECG-FM's pre-training. Only the leads that are there are standardized,
each or together as the spec says. III, aVR, aVL and aVF are not computed where I and II alone
are there: they follow from the two (Einthoven, Goldberger), so that such a device is the
configuration of six limb leads.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.evaluation.comparison import compare_predictions
from ecg_assets.evaluation.evaluate import evaluate
from ecg_assets.figures import ACCENT, DASHED, INK, LIGHT, MUTED, make_figure, to_png
from ecg_assets.metrics.metrics import MACRO, pick_macro, tabulate_missing
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import STANDARD_LEADS, SignalSpec
from ecg_assets.preprocess.lead_statistics import LIMB_LEADS
from ecg_assets.tables import Column, TableSchema

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class LeadSet:
    """A configuration of leads.

    Attributes
    ----------
    name
        What people call it.
    leads
        The leads that are there.
    is_repeated
        Whether its one lead stands in every channel.
    """

    name: str
    leads: tuple[str, ...]
    is_repeated: bool = False

    def spec(self, model_spec: SignalSpec) -> SignalSpec:
        """Say how its leads are read: as the model's, but these alone."""
        return replace(model_spec, leads=self.leads, n_channels=len(self.leads))

    def lay_out(
        self, segments: NDArray[np.float32], channels: tuple[str, ...]
    ) -> NDArray[np.float32]:
        """Give a model's channels: the leads that are there, 0 for the others.

        Parameters
        ----------
        segments
            Standardized, ``(segment, lead, sample)``, the leads of this configuration.
        channels
            Lead of each channel of the model.

        Returns
        -------
        NDArray[np.float32]
            ``(segment, channel, sample)``.

        >>> LeadSet("I", ("I",)).lay_out(np.ones((1, 1, 2), np.float32), ("II", "I")).tolist()
        [[[0.0, 0.0], [1.0, 1.0]]]
        """
        if self.is_repeated:
            return np.repeat(segments, len(channels), axis=1)
        n_segments, _, n_samples = segments.shape
        laid_out = np.zeros((n_segments, len(channels), n_samples), np.float32)
        laid_out[:, [channels.index(lead) for lead in self.leads]] = segments
        return laid_out


LEAD_SETS = (
    LeadSet("12 leads", STANDARD_LEADS),
    LeadSet("6 limb leads", LIMB_LEADS),
    LeadSet("2 leads (I, II)", ("I", "II")),
    LeadSet("Lead I × 12", ("I",), is_repeated=True),
)
"""The configurations, the most leads first."""


def all_leads(lead_sets: Sequence[LeadSet]) -> LeadSet:
    """Give the configuration with every lead of some, in the standard order."""
    named = {lead for lead_set in lead_sets for lead in lead_set.leads}
    return LeadSet("all", tuple(lead for lead in STANDARD_LEADS if lead in named))


def model_channels(spec: SignalSpec, n_channels: int) -> tuple[str, ...]:
    """Lead of each channel of a model.

    A model of twelve channels that was trained on one lead repeated could read twelve: they
    are taken in the standard order. One that reads a single channel has its lead alone.
    """
    if len(spec.leads) == n_channels:
        return spec.leads
    return STANDARD_LEADS if n_channels == len(STANDARD_LEADS) else spec.leads


def find_obstacle(
    lead_set: LeadSet, spec: SignalSpec, n_channels: int, stored_leads: tuple[str, ...]
) -> str:
    """Say why a configuration cannot be run; empty where it can.

    Parameters
    ----------
    spec, n_channels
        What the model was trained on, and how many channels it reads.
    stored_leads
        Leads in the shards.
    """
    if spec.layout != "channels":
        return "the model reads its leads end to end, and none can be left out"
    if len(spec.how_normalized.mean) > 1:
        return "the model's leads are normalized by a mean of their own each"
    channels = model_channels(spec, n_channels)
    lacking = [lead for lead in lead_set.leads if lead not in channels]
    if lacking:
        return f"the model reads {_count(n_channels)} ({', '.join(channels)}), not {_list(lacking)}"
    if lead_set.is_repeated and n_channels not in (1, len(STANDARD_LEADS)):
        return f"the model reads {_count(n_channels)}, not {len(STANDARD_LEADS)} or 1"
    not_stored = [lead for lead in lead_set.leads if lead not in stored_leads]
    if not_stored:
        return (
            f"the shards lack {_list(not_stored)}; preprocess again with "
            "ECG_STORED_LEADS=all, or at least these"
        )
    return ""


def _count(n_channels: int) -> str:
    return "1 channel" if n_channels == 1 else f"{n_channels} channels"


def _list(leads: list[str]) -> str:
    return f"lead {leads[0]}" if len(leads) == 1 else f"leads {', '.join(leads)}"


# How much a model loses with fewer leads, on the same recordings.


DIFFERENCE = "auroc_difference"
"""AUROC minus that of the configuration with the most leads, paired."""

_NO_AUROC = "the AUROC is undefined"

LEAD_DEGRADATION = TableSchema(
    "lead_degradation",
    (
        Column("leads", pa.string(), "configuration of leads"),
        Column("n_leads", pa.int64(), "leads that are there"),
        Column("label", pa.string(), "label, or macro: the mean over the defined labels"),
        Column(
            "metric",
            pa.string(),
            f"auroc, or {DIFFERENCE}: minus that of the configuration with most leads",
        ),
        Column("value", pa.float64(), "its value; empty where undefined", nullable=True),
        Column("low", pa.float64(), "lower end of the 95 % interval", nullable=True),
        Column("high", pa.float64(), "upper end of the 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings, the same in all configurations; 0: not run"),
        Column("n_pos", pa.int64(), "positive ones; of macro the sum over its labels"),
        Column("undefined", pa.string(), "why there is no value or interval", nullable=True),
    ),
)


def compare_lead_sets(
    predictions: Mapping[str, Predictions],
    obstacles: Mapping[str, str],
    *,
    n_resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Compute the AUROC with each configuration of leads, and what fewer leads lose.

    Parameters
    ----------
    predictions
        Of the same recordings, by the name of a configuration out of `LEAD_SETS`.
    obstacles
        Why each other configuration cannot be run.
    n_resamples, seed
        Of the bootstrap over patients: the same patients in every configuration.

    Returns
    -------
    pandas.DataFrame
        `LEAD_DEGRADATION`. A configuration that cannot be run has one row, with the reason.
    """
    tables = []
    most = next((s.name for s in LEAD_SETS if s.name in predictions), None)
    for lead_set in LEAD_SETS:
        scored = predictions.get(lead_set.name)
        if scored is None or most is None:
            reason = obstacles.get(lead_set.name, "no predictions")
            table = tabulate_missing(["auroc"], f"not run: {reason}")
        else:
            table = _auroc(scored, n_resamples, seed)
            if lead_set.name != most:
                differences = _differences(scored, predictions[most], n_resamples, seed)
                table = pd.concat([table, differences])
        tables.append(table.assign(leads=lead_set.name, n_leads=len(lead_set.leads)))
    columns = [column.name for column in LEAD_DEGRADATION.columns]
    return pd.concat(tables, ignore_index=True)[columns]


def macro_by_lead_set(table: pd.DataFrame) -> pd.DataFrame:
    """Give one row a configuration: ``leads, value, low, high, undefined`` of the macro AUROC."""
    columns = ["leads", "value", "low", "high", "undefined"]
    return pick_macro(table)[columns]


def _auroc(scored: Predictions, n_resamples: int, seed: int) -> pd.DataFrame:
    """AUROC of each label and of macro."""
    table = evaluate(
        scored.score,
        scored.target,
        scored.vocabulary.names,
        scored.subject_ids,
        replicates=n_resamples,
        seed=seed,
    )
    wanted = (table["metric"] == "auroc") & table["label"].isin((*scored.vocabulary.names, MACRO))
    return table[wanted]


def _differences(
    scored: Predictions, reference: Predictions, n_resamples: int, seed: int
) -> pd.DataFrame:
    """AUROC minus that of the reference, of each label and of macro."""
    table = compare_predictions(scored, reference, n_resamples=n_resamples, seed=seed)
    table = table[table["metric"] == "auroc"].rename(columns={"difference": "value"})
    reasons = [None if np.isfinite(value) else _NO_AUROC for value in table["value"]]
    undefined = pd.Series(reasons, index=table.index, dtype=object)
    return table.assign(metric=DIFFERENCE, undefined=undefined)


# The picture: AUROC over fewer and fewer leads.


def draw_lead_degradation(table: pd.DataFrame) -> bytes:
    """Draw the macro AUROC with its interval, and each label's, over the configurations.

    Parameters
    ----------
    table
        As `LEAD_DEGRADATION` declares. Where a configuration was not run, its reason stands.
    """
    names = [lead_set.name for lead_set in LEAD_SETS]
    figure, [[axes]] = make_figure(9.5, 5, lines="y")
    auroc = table[table["metric"] == "auroc"]
    labels, macro = auroc[auroc["label"] != MACRO], pick_macro(table)
    lowest = np.nanmin([0.5, *auroc["value"].astype(float), *macro["low"].astype(float)])
    axes.set_ylim(float(lowest) - 0.03, 1.02)
    curves = {
        str(label): rows.set_index("leads")["value"].reindex(names).to_numpy(float)
        for label, rows in labels.groupby("label", sort=False)
    }
    for values in curves.values():
        axes.plot(values, color=LIGHT, linewidth=1, marker="o", markersize=3)
    _name_curves(axes, curves)
    _draw_macro(axes, macro.set_index("leads").reindex(names))
    axes.axhline(0.5, **DASHED)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.45, len(names) + 0.55)
    axes.set_ylabel("AUROC; dark: macro mean with its 95 % interval")
    return to_png(figure)


def _draw_macro(axes: Axes, macro: pd.DataFrame) -> None:
    values, x = macro["value"].to_numpy(float), np.arange(len(macro))
    low, high = macro["low"].to_numpy(float), macro["high"].to_numpy(float)
    axes.vlines(x, low, high, color=INK, linewidth=2.4, zorder=3)
    axes.plot(x, values, color=ACCENT, linewidth=2, marker="o", markersize=6, zorder=4)
    for at, (value, reason) in enumerate(zip(values, macro["undefined"], strict=True)):
        if np.isfinite(value):
            axes.annotate(
                f"{value:.3f}",
                (at, value),
                (-9, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                color=INK,
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85},
                zorder=5,
            )
        else:
            text = textwrap.fill(str(reason or "undefined"), 24)
            axes.text(at, 0.75, text, color=MUTED, ha="center", va="center", fontsize=8)


def _name_curves(axes: Axes, curves: dict[str, NDArray[np.float64]]) -> None:
    """Write the labels' names beside the last points, far enough apart to be read."""
    ends = {
        label: (int(np.flatnonzero(np.isfinite(values))[-1]), values)
        for label, values in curves.items()
        if np.isfinite(values).any()
    }
    ordered = sorted(ends, key=lambda label: ends[label][1][ends[label][0]])
    heights = np.array([ends[label][1][ends[label][0]] for label in ordered])
    for label, end, at in zip(ordered, heights, _spread(heights, *axes.get_ylim()), strict=True):
        x = ends[label][0]
        axes.plot([x + 0.04, x + 0.16], [end, at], color=LIGHT, linewidth=0.6)
        axes.text(x + 0.18, at, label, color=INK, fontsize=7, va="center")


def _spread(heights: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Move ascending heights apart by at least a line of text, as little as that takes."""
    from sklearn.isotonic import isotonic_regression

    if not len(heights):
        return heights
    step = min(0.033 * (high - low), (high - low) / len(heights))
    steps = step * np.arange(len(heights))
    # Isotonic regression of what is left after equal steps: the pool-adjacent-violators rule.
    spread = isotonic_regression(heights - steps) + steps
    shift = min(0.0, high - step / 2 - spread[-1]) + max(0.0, low + step / 2 - spread[0])
    moved: NDArray[np.float64] = spread + shift
    return moved
