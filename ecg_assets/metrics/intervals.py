"""95 % intervals by a bootstrap that resamples patients, not recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.known import keep_known
from ecg_assets.metrics.calibration import fit_line
from ecg_assets.metrics.metrics import METRICS, combine_metrics
from ecg_assets.metrics.ranks import TieBlocks
from ecg_assets.metrics.sums import (
    CALLED,
    GRADIENT,
    JUDGED,
    JUDGED_POSITIVE,
    N_SUMS,
    POSITIVE,
    RECORDS,
    ratio,
    round_for_exact_sums,
    sum_by_patient,
    sum_line_by_patient,
)

# All that a resample of patients needs of scored labels, made once.


@dataclass(frozen=True)
class PatientStatistics:
    """Rankings, sums and calibration lines of rows: the labels, then all of them pooled.

    Attributes
    ----------
    blocks
        Ranking of each row.
    sums
        float64 ``(patient, row, N_SUMS)``.
    lines
        Slope and intercept of each row, ``(row, 2)``.
    """

    blocks: tuple[TieBlocks, ...]
    sums: NDArray[np.float64]
    lines: NDArray[np.float64]

    @classmethod
    def from_arrays(
        cls,
        target: NDArray[np.uint8],
        score: NDArray[np.floating[Any]],
        thresholds: NDArray[np.float64],
        patient: NDArray[np.intp],
        *,
        is_pooled: bool,
        has_lines: bool = True,
    ) -> PatientStatistics:
        """Rank and sum each label, over the recordings of which it is known.

        Parameters
        ----------
        target, score
            0 or 1 or `NOT_MEASURED`, and probabilities, ``(record, label)``.
        thresholds
            ``(label,)``; NaN where there is none.
        patient
            Number of each record's patient, from 0.
        is_pooled
            Whether a last row pools all pairs of record and label.
        has_lines
            Whether calibration lines are fitted, what takes longest in small sets; without,
            slope and intercept are NaN.
        """
        n_labels, n_patients = target.shape[1], int(patient.max(initial=-1)) + 1
        rows = [_known_rows(target[:, k], score[:, k], patient) for k in range(n_labels)]
        if is_pooled:
            # Column by column, the order in which the patients are repeated.
            pooled = (target.ravel("F"), score.ravel("F"), np.tile(patient, n_labels))
            rows.append(_known_rows(*pooled))
        sums = np.zeros((n_patients, len(rows), N_SUMS))
        for k, (one, scored, moves_with) in enumerate(rows[:n_labels]):
            threshold = float(thresholds[k])
            sums[:, k] = sum_by_patient(one, scored, threshold, moves_with, n_patients)
        if is_pooled:
            sums[:, -1] = sums[:, :-1].sum(axis=1)
        lines = np.full((len(rows), 2), np.nan)
        for k, (one, scored, moves_with) in enumerate(rows):
            line = fit_line(one, scored) if has_lines else (np.nan, np.nan)
            lines[k] = line
            found = sum_line_by_patient(one, scored, line, moves_with, n_patients)
            sums[:, k, GRADIENT.start :] = found
        return cls(tuple(TieBlocks.from_scores(*row) for row in rows), sums, lines)

    def for_resampling(self) -> PatientStatistics:
        """Return the same with sums that are exact in any order."""
        rounded = np.empty_like(self.sums)
        for k in range(len(self.blocks)):
            rounded[:, k] = round_for_exact_sums(self.sums[:, k])
        return replace(self, sums=rounded)

    def describe(
        self, counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Metrics and positives of each row in each resample.

        Parameters
        ----------
        counts
            How often each patient was drawn, ``(draw, patient)``.

        Returns
        -------
        tuple of NDArray
            Metrics ``(draw, row, metric)`` and numbers of positives ``(draw, row)``.
        """
        n_patients, n_rows, n_sums = self.sums.shape
        weighted = counts.astype(np.float64) @ self.sums.reshape(n_patients, n_rows * n_sums)
        sums = weighted.reshape(len(counts), n_rows, n_sums)
        curves = np.stack([block.resample(counts) for block in self.blocks], axis=1)
        lines = np.broadcast_to(self.lines, curves.shape)
        return combine_metrics(curves, sums, lines), sums[..., POSITIVE]


def _known_rows(
    target: NDArray[np.uint8], score: NDArray[np.floating[Any]], patient: NDArray[np.intp]
) -> tuple[NDArray[np.uint8], NDArray[np.floating[Any]], NDArray[np.intp]]:
    known, (scored, moves_with) = keep_known(target, score, patient)
    return known, scored, moves_with


def describe_labels(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    thresholds: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Compute every metric of every label, each record once.

    Parameters
    ----------
    target, score
        0 or 1 or `NOT_MEASURED`, and probabilities without NaN, ``(record, label)``.
    thresholds
        ``(label,)``; a score at or above it is called positive. NaN: undefined.

    Returns
    -------
    NDArray
        ``(label, metric)`` in the order of `METRICS`.
    """
    everyone = np.zeros(len(target), np.intp)
    statistics = PatientStatistics.from_arrays(target, score, thresholds, everyone, is_pooled=False)
    metrics, _ = statistics.describe(np.ones((1, 1), np.int64))
    values: NDArray[np.float64] = metrics[0]
    return values


LEAST_PATIENTS = 30
"""Of fewer nothing has an interval, and no checkpoint a verdict.

Percentile intervals of few patients are too narrow: in the simulation of ``docs/evaluation.md``
that of the AUROC holds the true value in 82 % of the studies with 5 patients, in 87 % with 10, in
91 % with 20, and from 30 on about as often as with 100.
"""

MIN_VALID_SHARE = 0.5
"""An interval needs a defined value in at least this share of the resamples."""

_NO_WIDTH = 1e-12
"""An interval narrower than rounding has none."""

_MOST_COUNTS, _MOST_DRAWS = 2**21, 1024
"""Counts of patients and resamples held at a time, whatever the number of resamples."""


@dataclass(frozen=True)
class BootstrapIntervals:
    """Values of each metric and their percentile intervals.

    Attributes
    ----------
    values
        Of the data itself, float64 ``(row, metric)``: a row a label, then `SUMMARIES` or the
        first of them. NaN where undefined.
    low, high
        2.5 and 97.5 percentile of the resamples, of the same shape. NaN where undefined, and where
        resampling cannot vary the value; shares of labels that are 0 or 1 have their exact
        interval by patient. All NaN of fewer than `LEAST_PATIENTS`.
    n_resamples
        Resamples drawn.
    n_undefined
        Resamples in which a metric was undefined, int64, of the same shape.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n_resamples: int
    n_undefined: NDArray[np.int64]


def bootstrap_by_patient(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    thresholds: NDArray[np.float64],
    subject_ids: NDArray[Any],
    *,
    n_resamples: int,
    generator: np.random.Generator,
    is_pooled: bool = False,
    has_lines: bool = True,
    least_patients: int = LEAST_PATIENTS,
) -> BootstrapIntervals:
    """Draw patients with replacement; a patient's recordings move together.

    Parameters
    ----------
    target, score
        0 or 1 or `NOT_MEASURED`, and probabilities without NaN, ``(record, label)``.
    thresholds
        ``(label,)``; a score at or above it is called positive, NaN: undefined.
    subject_ids
        Patient of each record.
    is_pooled
        Whether rows ``weighted`` and ``micro`` follow the row ``macro``.
    has_lines
        Whether calibration lines are fitted; without, slope and intercept are NaN.
    least_patients
        Of fewer there is no interval: nothing is drawn. A label that is known of fewer has none
        either.
    """
    _, patient = np.unique(subject_ids, return_inverse=True)
    statistics = PatientStatistics.from_arrays(
        target,
        score,
        thresholds,
        patient.astype(np.intp),
        is_pooled=is_pooled,
        has_lines=has_lines,
    )
    n_labels, n_patients = target.shape[1], len(statistics.sums)
    n_resamples = n_resamples if n_patients >= least_patients else 0
    everyone = np.ones((1, n_patients), np.int64)
    values, positives = statistics.describe(everyone)
    defined = np.isfinite(values[0, :n_labels])
    resampled = statistics.for_resampling()
    draws = np.full((n_resamples, n_labels + (3 if is_pooled else 1), len(METRICS)), np.nan)
    start = 0
    for counts in draw_patients(n_patients, n_resamples, generator):
        found = resampled.describe(counts)
        draws[start : start + len(counts)] = _with_summaries(*found, defined)
        start += len(counts)
    low, high, n_undefined = find_percentiles(draws)
    point = _with_summaries(values, positives, defined)[0]
    low, high = undefined_if_constant(low, high)
    if n_resamples:
        _put_exact(point, low, high, statistics.sums[:, :n_labels])
        n_known = (statistics.sums[:, :n_labels, RECORDS] > 0).sum(axis=0)
        is_few = np.flatnonzero(n_known < least_patients)
        low[is_few], high[is_few] = np.nan, np.nan
    return BootstrapIntervals(point, low, high, n_resamples, n_undefined)


def explain_missing_interval(
    n_resamples: int, n_patients: int, least_patients: int = LEAST_PATIENTS
) -> str:
    """Say why there is no interval, of a value that is defined."""
    if n_patients < least_patients:
        return f"no interval: {n_patients} patients, fewer than {least_patients}"
    if not n_resamples:
        return "no interval: no resamples were drawn"
    return f"no interval: {n_resamples} resamples are all the same, or undefined in more than half"


def undefined_if_constant(
    low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn intervals without width into NaN.

    A resample of patients cannot vary what is the same for every patient: two right of two,
    say. Its interval would show certainty where nothing is known.
    """
    is_constant = high - low <= _NO_WIDTH
    return np.where(is_constant, np.nan, low), np.where(is_constant, np.nan, high)


_JUDGED_OF: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "sensitivity": lambda sums: sums[..., JUDGED_POSITIVE],
    "specificity": lambda sums: sums[..., JUDGED] - sums[..., JUDGED_POSITIVE],
    "ppv": lambda sums: sums[..., CALLED],
    "npv": lambda sums: sums[..., JUDGED] - sums[..., CALLED],
}
"""Recordings that a share is of, from the sums of a patient."""


def _put_exact(
    point: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Give shares of labels that are 0 or 1 their exact interval, in place.

    All of a patient's recordings agree then, so that patients are independent trials: Clopper
    and Pearson 1934 (doi:10.1093/biomet/26.4.404).
    """
    from scipy.stats import binomtest

    for name, judged_of in _JUDGED_OF.items():
        column = list(METRICS).index(name)
        n_patients = (judged_of(sums) > 0).sum(axis=0)
        for row, n in enumerate(n_patients):
            share = point[row, column]
            if n and share in (0.0, 1.0):
                exact = binomtest(int(share) * int(n), int(n)).proportion_ci(0.95, "exact")
                low[row, column], high[row, column] = exact.low, exact.high


def draw_patients(
    n_patients: int, n_resamples: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Draw resamples in blocks of bounded size; the draws do not depend on the blocks.

    Yields
    ------
    NDArray
        How often each patient was drawn, int64 ``(draw, patient)``.
    """
    step = min(max(1, _MOST_COUNTS // max(n_patients, 1)), _MOST_DRAWS)
    for start in range(0, n_resamples if n_patients else 0, step):
        counts = np.empty((min(step, n_resamples - start), n_patients), np.int64)
        for row in counts:
            drawn = generator.integers(0, n_patients, n_patients)
            row[:] = np.bincount(drawn, minlength=n_patients)
        yield counts


def find_percentiles(
    draws: NDArray[np.float64], percent: float = 95.0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Percentile interval over the first axis, and how many draws were undefined.

    NaN where less than `MIN_VALID_SHARE` of the draws are defined.
    """
    undefined = np.isnan(draws).sum(axis=0)
    enough = (undefined <= (1 - MIN_VALID_SHARE) * len(draws)) & (undefined < len(draws))
    borders = np.full((2, *enough.shape), np.nan)
    if enough.any():
        ends = [50 - percent / 2, 50 + percent / 2]
        borders[:, enough] = np.nanpercentile(draws[:, enough], ends, axis=0)
    return borders[0], borders[1], undefined


def _with_summaries(
    values: NDArray[np.float64], positives: NDArray[np.float64], defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Add the means over labels to ``(draw, row, metric)``, before the pooled row if any."""
    n_labels = len(defined)
    of_labels, weights = values[:, :n_labels], positives[:, :n_labels, np.newaxis]
    rows = [of_labels, mean_over_labels(of_labels, np.ones_like(weights), defined)]
    if values.shape[1] > n_labels:
        rows += [mean_over_labels(of_labels, weights, defined), values[:, n_labels:]]
    return np.concatenate(rows, axis=1)


def mean_over_labels(
    values: NDArray[np.float64], weights: NDArray[np.float64], defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Weighted mean over the labels that are defined in the data, ``(draw, 1, metric)``.

    NaN in a resample in which one of them is not defined: else the mean would be over
    other labels than the value itself.
    """
    weight = np.where(defined, weights, 0.0)
    total = weight.sum(axis=1, keepdims=True)
    picked = np.where(defined, values * weights, 0.0).sum(axis=1, keepdims=True)
    return ratio(picked, total)
