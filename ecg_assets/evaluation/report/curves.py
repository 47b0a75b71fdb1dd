"""ROC, precision–recall, calibration and decision curves of one label under weights.

Scores are sorted once; each resample is then running sums over the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.known import is_known
from ecg_assets.metrics.calibration import N_BINS, bin_of
from ecg_assets.metrics.decision_curves import THRESHOLDS, count_called, net_benefit_of_called
from ecg_assets.metrics.intervals import (
    LEAST_PATIENTS,
    draw_patients,
    find_percentiles,
    undefined_if_constant,
)
from ecg_assets.metrics.sums import ratio
from ecg_assets.models.predictions import Predictions

GRID = np.linspace(0, 1, 101)
"""Where curves are read off: false positive rates, and recalls."""

_SMALLEST = 1e-9


@dataclass(frozen=True)
class SortedScores:
    """One label's recordings by descending score.

    Attributes
    ----------
    order
        Recordings by descending score, int64 ``(record,)``.
    positive
        Whether each is positive, in that order, float64.
    ends
        Position of the last recording of each distinct score, int64.
    """

    order: NDArray[np.int64]
    positive: NDArray[np.float64]
    ends: NDArray[np.int64]

    @classmethod
    def from_scores(cls, target: NDArray[np.uint8], score: NDArray[np.float32]) -> SortedScores:
        """Sort the scores of one label, ``(record,)``."""
        order = np.argsort(-score, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
        return cls(order, target[order].astype(np.float64), ends)

    def roc_and_precision(
        self, weight: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sensitivity at each false positive rate of `GRID`, and precision at each recall.

        Parameters
        ----------
        weight
            How often each recording counts, ``(record,)``.

        Returns
        -------
        tuple
            Two float64 ``(grid,)``; NaN where one class has no weight. Between two
            thresholds sensitivity is linear; precision is that of the first threshold that
            reaches the recall, never a mean of two.
        """
        ordered = weight[self.order]
        found = np.cumsum(ordered * self.positive)[self.ends]
        called = np.cumsum(ordered)[self.ends]
        n_positive, n_negative = found[-1], called[-1] - found[-1]
        if n_positive == 0 or n_negative == 0:
            return np.full(len(GRID), np.nan), np.full(len(GRID), np.nan)
        false_rate = np.append(0, (called - found) / n_negative)
        sensitivity = np.interp(GRID, false_rate, np.append(0, found / n_positive))
        wanted = np.maximum(GRID * n_positive - _SMALLEST, _SMALLEST)
        reached = np.searchsorted(found, wanted)
        return sensitivity, found[reached] / called[reached]


def share_positive(
    bins: NDArray[np.intp], target: NDArray[np.uint8], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Share of positives in each bin of `reliability_table`; NaN where a bin has no weight.

    Parameters
    ----------
    bins, target, weight
        Of each recording, ``(record,)``; bins as `bin_of` gives them.
    """
    found = np.bincount(bins, weight * target, N_BINS)
    return ratio(found, np.bincount(bins, weight, N_BINS))


# 95 % bands around curves, by a bootstrap that resamples patients.


N_RESAMPLES = 200
"""Enough for a picture; the intervals of numbers have their own, larger count."""

KINDS = ("roc", "precision_recall", "calibration", "decision")


@dataclass(frozen=True)
class Band:
    """A curve of one label with its pointwise interval.

    Attributes
    ----------
    x
        Where it is read off, float64 ``(point,)``.
    value, low, high
        The curve of the data, and the 2.5 and 97.5 percentile of the resamples, float64
        ``(point,)``; NaN where undefined, or where all resamples have the same.
    """

    x: NDArray[np.float64]
    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class CurveBands:
    """All curves of an evaluation.

    Attributes
    ----------
    bands
        Kind of curve (one of `KINDS`) to label to band; labels with one class are absent.
    n_resamples, seed
        Of the bootstrap.
    """

    bands: dict[str, dict[str, Band]]
    n_resamples: int
    seed: int

    def to_table(self) -> pd.DataFrame:
        """Columns ``label, curve, x, value, low, high``."""
        frames = [
            pd.DataFrame(vars(band)).assign(label=label, curve=kind)
            for kind, by_label in self.bands.items()
            for label, band in by_label.items()
        ]
        columns = ["label", "curve", "x", "value", "low", "high"]
        return pd.concat(frames)[columns] if frames else pd.DataFrame(columns=columns)


@dataclass(frozen=True)
class _LabelCurves:
    """All that a label's curves are computed from: the recordings of which it is known."""

    rows: NDArray[np.intp]
    ranked: SortedScores
    bins: NDArray[np.intp]
    target: NDArray[np.uint8]
    mean_scores: NDArray[np.float64]
    called: NDArray[np.intp]

    @property
    def points(self) -> tuple[NDArray[np.float64], ...]:
        return GRID, GRID, self.mean_scores, THRESHOLDS

    def values(self, weight: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        counted = weight[self.rows]
        return (
            *self.ranked.roc_and_precision(counted),
            share_positive(self.bins, self.target, counted),
            net_benefit_of_called(self.called, self.target, counted),
        )


def bootstrap_curves(
    predictions: Predictions,
    reliability: pd.DataFrame,
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    least_patients: int = LEAST_PATIENTS,
) -> CurveBands:
    """Average curves vertically over resamples of patients.

    Vertical averaging (Fawcett 2006, doi:10.1016/j.patrec.2005.10.010) reads each resample's
    curve at the same points: sensitivity at each false positive rate, precision at each recall,
    the share of positives in each bin of scores, net benefit at each threshold.

    Parameters
    ----------
    predictions
        Of the evaluation set.
    reliability
        As `reliability_table` gives it; labels that are not in it have no curves.
    least_patients
        Of fewer there are curves, but no bands; nor of a label that is known of fewer.
    """
    labels = _prepare_labels(predictions, reliability)
    if len(np.unique(predictions.subject_ids)) < least_patients:
        n_resamples = 0
    is_few = {
        name: len(np.unique(predictions.subject_ids[label.rows])) < least_patients
        for name, label in labels.items()
    }
    draws: dict[str, list[tuple[NDArray[np.float64], ...]]] = {name: [] for name in labels}
    for weight in _draw_weights(predictions.subject_ids, n_resamples, seed):
        for name, label in labels.items():
            # The first weighs the data themselves.
            if not draws[name] or not is_few[name]:
                draws[name].append(label.values(weight))
    bands = {
        kind: {
            name: _band(label.points[column], [curves[column] for curves in draws[name]])
            for name, label in labels.items()
        }
        for column, kind in enumerate(KINDS)
    }
    return CurveBands(bands, n_resamples, seed)


def _prepare_labels(predictions: Predictions, reliability: pd.DataFrame) -> dict[str, _LabelCurves]:
    prepared = {}
    for k, name in enumerate(predictions.vocabulary.names):
        rows = np.flatnonzero(is_known(predictions.target[:, k]))
        target, score = predictions.target[rows, k], predictions.score[rows, k]
        bins = reliability[reliability["label"] == name].sort_values("bin")
        if len(bins) and 0 < target.sum() < len(target):
            prepared[name] = _LabelCurves(
                rows,
                SortedScores.from_scores(target, score),
                bin_of(score),
                target,
                bins["mean_score"].to_numpy(np.float64),
                count_called(score),
            )
    return prepared


def _draw_weights(
    subject_ids: NDArray[np.str_], n_resamples: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """How often each recording counts: once in the data, then in each resample."""
    patients, of_record = np.unique(subject_ids, return_inverse=True)
    yield np.ones(len(subject_ids))
    for counts in draw_patients(len(patients), n_resamples, np.random.default_rng(seed)):
        for drawn in counts:
            yield drawn[of_record].astype(np.float64)


def _band(x: NDArray[np.float64], curves: list[NDArray[np.float64]]) -> Band:
    """Take the first curve for that of the data, the others for resamples."""
    low, high, _ = find_percentiles(np.array(curves[1:]).reshape(-1, len(x)))
    return Band(x, curves[0], *undefined_if_constant(low, high))
