"""Every metric of a label's scores: one row each, read by all tables, pages and pictures.

A new metric is a row here, or an entry point of the group ``ecg_assets.metrics`` in another
package. An undefined value is NaN, never a made-up number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecg_assets.entry_points import load_entry_points
from ecg_assets.metrics.sums import Tally, ratio


class Need(StrEnum):
    """What a metric is undefined without."""

    POSITIVE = "a positive record"
    NEGATIVE = "a negative record"
    THRESHOLD = "the threshold that makes a score a yes or a no"


class Place(StrEnum):
    """Where only some metrics stand; tables of a whole evaluation have all."""

    LEADERBOARD = "mean over labels in the leaderboard"
    LEADERBOARD_INTERVAL = "its interval beside it"
    DIFFERENCES = "differences of two checkpoints"
    GROUPS = "groups of recordings and other datasets"
    CALIBRATION = "calibration of groups of recordings"
    MATRIX = "evaluation matrix"


@dataclass(frozen=True)
class Metric:
    """A metric, and all that is said of it.

    Attributes
    ----------
    name
        In tables and files.
    title
        As it stands above a column.
    formula
        What it is, as a phrase.
    guide
        How to read it.
    compute
        Its values from a tally, of the shape of the tally's fields; NaN where undefined.
    needs
        What it is undefined without.
    otherwise
        Why it is undefined though all that it needs is there.
    higher_is_better
        None where neither is: checkpoints cannot be ranked by it.
    shown_in
        Beside the tables that have all metrics.
    number
        How it is written, a kind of `ecg_assets.evaluation.report.numbers.format_number`.
    """

    name: str
    title: str
    formula: str
    guide: str
    compute: Callable[[Tally], NDArray[np.float64]]
    needs: tuple[Need, ...] = ()
    otherwise: str = "not defined for these scores"
    higher_is_better: bool | None = True
    shown_in: tuple[Place, ...] = ()
    number: str = "ratio"

    @property
    def needs_threshold(self) -> bool:
        """Whether it depends on the threshold that makes a score a yes or a no."""
        return Need.THRESHOLD in self.needs

    @property
    def meaning(self) -> dict[str, str | bool]:
        """What a reader is told of it, as JSON values."""
        names = ("title", "formula", "guide", "needs_threshold")
        return {name: getattr(self, name) for name in names}


_BOTH = (Need.POSITIVE, Need.NEGATIVE)
_RANKED_IN = tuple(place for place in Place if place != Place.CALIBRATION)
_NO_LINE = "no finite line: the scores are all alike or separate the classes"

_BUILT_IN = (
    Metric(
        "auroc",
        "AUROC",
        "area under the curve of sensitivity over 1 − specificity: the probability that a "
        "recording with the label scores higher than one without, a tie counting half",
        "0.5 is chance, 1 is perfect; it does not depend on how frequent the label is.",
        lambda t: t.auroc,
        needs=_BOTH,
        shown_in=_RANKED_IN,
    ),
    Metric(
        "auprc",
        "AUPRC",
        "average precision: precision at each score with a positive recording, averaged over the "
        "positive recordings, without interpolation",
        "Chance is the prevalence, so compare it with the prevalence beside it.",
        lambda t: t.auprc,
        needs=_BOTH,
        shown_in=_RANKED_IN,
    ),
    Metric(
        "f1",
        "F1",
        "2 × true positives ÷ (called positive + positive)",
        "The harmonic mean of sensitivity and PPV.",
        lambda t: ratio(2 * t.hit, (t.called + t.judged_positive) * (t.judged_positive > 0)),
        needs=(Need.THRESHOLD, Need.POSITIVE),
    ),
    Metric(
        "sensitivity",
        "sensitivity",
        "true positives ÷ positive recordings (recall)",
        "Of the recordings with the label, the share that is found.",
        lambda t: ratio(t.hit, t.judged_positive),
        needs=(Need.THRESHOLD, Need.POSITIVE),
        shown_in=(Place.GROUPS,),
    ),
    Metric(
        "specificity",
        "specificity",
        "true negatives ÷ negative recordings",
        "Of the recordings without the label, the share that is left alone.",
        lambda t: ratio(t.rejected, t.judged - t.judged_positive),
        needs=(Need.THRESHOLD, Need.NEGATIVE),
        shown_in=(Place.GROUPS,),
    ),
    Metric(
        "ppv",
        "PPV",
        "true positives ÷ recordings called positive (precision)",
        "How often a call is right, at this set's prevalence; elsewhere it differs.",
        lambda t: ratio(t.hit, t.called),
        needs=(Need.THRESHOLD,),
        otherwise="no record is called positive",
    ),
    Metric(
        "npv",
        "NPV",
        "true negatives ÷ recordings called negative",
        "How often silence is right, at this set's prevalence; elsewhere it differs.",
        lambda t: ratio(t.rejected, t.judged - t.called),
        needs=(Need.THRESHOLD,),
        otherwise="no record is called negative",
    ),
    Metric(
        "brier",
        "Brier",
        "mean of (score − label)²",
        "0 is perfect; always to say the prevalence p gives p × (1 − p).",
        lambda t: ratio(t.squared_error, t.records),
        higher_is_better=False,
        shown_in=(Place.LEADERBOARD, Place.DIFFERENCES),
    ),
    Metric(
        "ece",
        "ECE",
        "expected calibration error: mean over bins of equal width of |mean score − share of "
        "positives|, weighted by the recordings of the bin",
        "0 means that a score of s is right s of the time.",
        lambda t: ratio(t.gap, t.records),
        higher_is_better=False,
        shown_in=(Place.LEADERBOARD, Place.CALIBRATION),
    ),
    Metric(
        "calibration_slope",
        "calibration slope",
        "slope of the logistic regression of the label on the log odds of the score",
        "1 is calibrated; below 1 the scores are too extreme, above 1 too timid.",
        lambda t: t.slope,
        needs=_BOTH,
        otherwise=_NO_LINE,
        higher_is_better=None,
        shown_in=(Place.CALIBRATION,),
    ),
    Metric(
        "calibration_intercept",
        "calibration intercept",
        "intercept of the same regression",
        "0 is calibrated (with slope 1); above 0 the scores are too low, below 0 too high.",
        lambda t: t.intercept,
        needs=_BOTH,
        otherwise=_NO_LINE,
        higher_is_better=None,
    ),
    Metric(
        "calibration_in_the_large",
        "calibration in the large",
        "share of positives − mean score",
        "0 is calibrated on average; above 0 the scores are too low, below 0 too high.",
        lambda t: ratio(-t.excess, t.records),
        higher_is_better=None,
        shown_in=(Place.CALIBRATION,),
        number="signed",
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _BUILT_IN}
"""Each metric by its name, in the order of every array ``(…, metric)``."""

for _metric in load_entry_points("ecg_assets.metrics", Metric).values():
    METRICS.setdefault(_metric.name, _metric)  # no package replaces a built-in one

MACRO = "macro"
SUMMARIES = {
    MACRO: "mean over the labels that are defined in this set, each counting the same",
    "weighted": "mean over the labels that are defined, weighted by their positive recordings",
    "micro": "all pairs of recording and label pooled",
}
"""How the numbers of labels become one: rows after those of the labels, in this order."""


def added_metrics() -> str:
    """Name the metrics of other packages, for versions of what they stand in; else empty.

    >>> added_metrics()
    ''
    """
    added = [name for name in METRICS if METRICS[name] not in _BUILT_IN]
    return "".join(f"+{name}" for name in added)


def places_of(names: Sequence[str]) -> list[int]:
    """Places of metrics in an array ``(…, metric)``.

    >>> places_of(["auprc", "brier"])
    [1, 7]
    """
    order = list(METRICS)
    return [order.index(name) for name in names]


def shown_in(place: Place) -> list[str]:
    """Names of the metrics that stand somewhere.

    >>> shown_in(Place.MATRIX)
    ['auroc', 'auprc']
    """
    return [name for name, metric in METRICS.items() if place in metric.shown_in]


def measured_in_groups() -> list[str]:
    """Names of the metrics of groups of recordings: those of `Place.GROUPS`, then calibration.

    >>> measured_in_groups()[3:]
    ['specificity', 'ece', 'calibration_slope', 'calibration_in_the_large']
    """
    return list(dict.fromkeys([*shown_in(Place.GROUPS), *shown_in(Place.CALIBRATION)]))


def at_threshold() -> list[str]:
    """Names of the metrics that need a threshold; F1, made of two of them, stands last."""
    named = [name for name, metric in METRICS.items() if metric.needs_threshold]
    return sorted(named, key=lambda name: name == "f1")


def combine_metrics(
    curves: NDArray[np.float64], sums: NDArray[np.float64], line: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute all metrics, ``(…, metric)`` in the order of `METRICS`.

    Parameters
    ----------
    curves, sums, line
        As of `Tally.from_sums`.
    """
    tally = Tally.from_sums(curves, sums, line)
    return np.stack([metric.compute(tally) for metric in METRICS.values()], axis=-1)


def best_first(
    values: ArrayLike, names: Sequence[str] | None = None, *, metric: str = "auroc"
) -> list[int]:
    """Rank by a metric: places from its best value on, undefined ones last.

    Parameters
    ----------
    values
        ``(place,)``; NaN is undefined.
    names
        Equal values are in their order; without, in the order given.
    metric
        Of `METRICS`.

    Raises
    ------
    ValueError
        When neither higher nor lower values of the metric are better.

    >>> best_first([0.8, np.nan, 0.9, 0.9], ["a", "b", "d", "c"])
    [3, 2, 0, 1]
    """
    if METRICS[metric].higher_is_better is None:
        raise ValueError(f"Nothing can be ranked by {metric}: neither higher nor lower is better.")
    array = np.asarray(values, np.float64)
    ties = np.arange(len(array)) if names is None else np.unique(names, return_inverse=True)[1]
    ranked = -array if METRICS[metric].higher_is_better else array
    order: list[int] = np.lexsort((ties, ranked)).tolist()
    return order


def tabulate(labels: Sequence[str], metrics: Sequence[str], **cells: ArrayLike) -> pd.DataFrame:
    """Make a table of metrics in the form that all of them have: a row a label and metric.

    Parameters
    ----------
    labels, metrics
        Names; all metrics of the first label come first.
    cells
        Column to values that broadcast to ``(label, metric)``.

    >>> tabulate(["a", "b"], ["auroc"], value=[[0.8], [0.9]], n=5).to_dict("list")
    {'label': ['a', 'b'], 'metric': ['auroc', 'auroc'], 'value': [0.8, 0.9], 'n': [5, 5]}
    """
    shape = (len(labels), len(metrics))
    names = np.meshgrid(np.array(labels, object), np.array(metrics, object), indexing="ij")
    columns = {"label": names[0], "metric": names[1], **cells}
    return pd.DataFrame({name: np.broadcast_to(c, shape).ravel() for name, c in columns.items()})


def tabulate_missing(metrics: Sequence[str], reason: str) -> pd.DataFrame:
    """Make the rows of something without numbers: ``macro``, undefined for a reason."""
    ends = dict.fromkeys(("value", "low", "high"), np.nan)
    return tabulate([MACRO], metrics, **ends, n=0, n_pos=0, undefined=np.array(reason, object))


def pick_macro(table: pd.DataFrame, metric: str = "auroc") -> pd.DataFrame:
    """Pick the rows of the mean over labels from a table of metrics."""
    chosen = table[(table["label"] == MACRO) & (table["metric"] == metric)]
    return chosen.reset_index(drop=True)
