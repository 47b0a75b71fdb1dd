"""Difference of two checkpoints on the same recordings, with paired intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ecg_assets.errors import SpecMismatch
from ecg_assets.evaluation.regression import compare_number_predictions
from ecg_assets.known import is_known, is_positive
from ecg_assets.metrics.intervals import (
    LEAST_PATIENTS,
    PatientStatistics,
    draw_patients,
    find_percentiles,
    mean_over_labels,
    undefined_if_constant,
)
from ecg_assets.metrics.metrics import MACRO, Place, places_of, shown_in, tabulate
from ecg_assets.metrics.sums import RECORDS
from ecg_assets.models.predictions import Predictions
from ecg_assets.tables import Column, TableSchema

DIFFERENCES = TableSchema(
    "differences",
    (
        Column("label", pa.string(), "label, or macro"),
        Column("metric", pa.string(), "name of the metric"),
        Column("difference", pa.float64(), "challenger minus champion", nullable=True),
        Column("low", pa.float64(), "lower end of its paired 95 % interval", nullable=True),
        Column("high", pa.float64(), "upper end of its paired 95 % interval", nullable=True),
        Column("n", pa.int64(), "recordings that both scored"),
        Column("n_pos", pa.int64(), "positive ones; in macro the sum over its labels"),
    ),
)


def compare_predictions(
    challenger: Predictions,
    champion: Predictions,
    *,
    n_resamples: int,
    seed: int,
    labels: Sequence[str] | None = None,
    least_patients: int = LEAST_PATIENTS,
) -> pd.DataFrame:
    """Subtract a champion's metrics from a challenger's, recording by recording the same.

    Both are evaluated on the recordings that both scored, in each resample on the same
    patients: what varies alike in both cancels.

    Parameters
    ----------
    labels
        Labels to compare, in this order; by default the challenger's that both have.
    least_patients
        Of fewer there is no interval.

    Returns
    -------
    DataFrame
        `DIFFERENCES`: the metrics of `Place.DIFFERENCES` of each label and of ``macro``, the mean
        over the labels that are defined for both. NaN where undefined. Of numbers
        `compare_number_predictions`.

    Raises
    ------
    SpecMismatch
        When no recording or label is in both, or they name different patients or targets for
        a recording.
    """
    names = _shared_labels(challenger, champion, labels)
    pair = [_on_shared_records(p, names, challenger, champion) for p in (challenger, champion)]
    _require_same_truth(pair[0], pair[1])
    (target, score, subject_ids), (_, other_score, _) = pair
    if challenger.vocabulary.is_continuous:
        return compare_number_predictions(
            names,
            target,
            (score, other_score),
            subject_ids,
            n_resamples=n_resamples,
            seed=seed,
            least_patients=least_patients,
        )
    _, patient = np.unique(subject_ids, return_inverse=True)
    statistics = PatientStatistics.from_arrays(
        np.hstack([target, target]),
        np.hstack([score, other_score]),
        np.full(2 * len(names), np.nan),
        patient.astype(np.intp),
        is_pooled=False,
        has_lines=False,
    )
    everyone = np.ones((1, len(statistics.sums)), np.int64)
    n_resamples = n_resamples if len(statistics.sums) >= least_patients else 0
    point = _subtract(statistics.describe(everyone)[0])
    defined = np.isfinite(point[0])
    resampled, generator = statistics.for_resampling(), np.random.default_rng(seed)
    draws = [
        _with_macro(_subtract(resampled.describe(counts)[0]), defined)
        for counts in draw_patients(everyone.shape[1], n_resamples, generator)
    ]
    found = _with_macro(point, defined)[0]
    ends = find_percentiles(np.concatenate([np.empty((0, *found.shape)), *draws]))
    low, high = undefined_if_constant(*ends[:2])
    n_known = (statistics.sums[:, : len(names), RECORDS] > 0).sum(axis=0)
    is_few = np.flatnonzero(n_known < least_patients)
    low[is_few], high[is_few] = np.nan, np.nan
    # Of equal scores it is known that nothing differs.
    is_same = np.append(equal := (score == other_score).all(axis=0), equal.all())
    low[is_same], high[is_same] = ends[0][is_same], ends[1][is_same]
    positives = is_positive(target).sum(axis=0, dtype=np.int64)
    of_labels = np.broadcast_to(positives[:, np.newaxis], defined.shape)
    return tabulate(
        (*names, MACRO),
        shown_in(Place.DIFFERENCES),
        difference=found,
        low=low,
        high=high,
        n=np.append(is_known(target).sum(axis=0), len(target))[:, np.newaxis],
        n_pos=np.vstack([of_labels, positives @ defined]),
    )


def _shared_labels(
    challenger: Predictions, champion: Predictions, labels: Sequence[str] | None
) -> tuple[str, ...]:
    is_of_one_kind = challenger.vocabulary.is_continuous == champion.vocabulary.is_continuous
    in_both = [
        n for n in challenger.vocabulary.names if is_of_one_kind and n in champion.vocabulary.names
    ]
    chosen = tuple(in_both if labels is None else labels)
    lacking = [name for name in chosen if name not in in_both]
    if lacking or not chosen:
        raise SpecMismatch(
            f"Cannot compare: labels {lacking or 'at all'} are not in both predictions; "
            f"both have {in_both}."
        )
    return chosen


def _on_shared_records(
    predictions: Predictions, names: tuple[str, ...], first: Predictions, second: Predictions
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.str_]]:
    """Targets, scores and patients of the recordings in both, ordered by id."""
    shared = np.intersect1d(first.record_ids, second.record_ids)
    if not len(shared):
        raise SpecMismatch(
            "Cannot compare: no recording is in both predictions. They are of different sets."
        )
    order = np.argsort(predictions.record_ids)
    rows = order[np.searchsorted(predictions.record_ids, shared, sorter=order)]
    columns = np.array([predictions.vocabulary.names.index(name) for name in names])
    cells = np.ix_(rows, columns)
    return predictions.target[cells], predictions.score[cells], predictions.subject_ids[rows]


def _require_same_truth(
    one: tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.str_]],
    other: tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.str_]],
) -> None:
    is_same = (one[0] == other[0]) | (~is_known(one[0]) & ~is_known(other[0]))
    n_targets = int((~is_same).any(axis=1).sum())
    n_patients = int((one[2] != other[2]).sum())
    if n_targets or n_patients:
        raise SpecMismatch(
            f"Cannot compare: of {len(one[0])} shared recordings {n_targets} have other targets "
            f"and {n_patients} other patients. Labels changed between the two: predict again."
        )


def _subtract(metrics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metrics ``(draw, 2 × label, metric)`` to differences ``(draw, label, compared)``."""
    columns = places_of(shown_in(Place.DIFFERENCES))
    half = metrics.shape[1] // 2
    difference: NDArray[np.float64] = metrics[:, :half, columns] - metrics[:, half:, columns]
    return difference


def _with_macro(
    differences: NDArray[np.float64], defined: NDArray[np.bool_]
) -> NDArray[np.float64]:
    weights = np.ones((*differences.shape[:2], 1))
    return np.concatenate([differences, mean_over_labels(differences, weights, defined)], axis=1)
