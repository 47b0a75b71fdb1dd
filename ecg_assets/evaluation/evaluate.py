"""Metrics with intervals from two arrays: no checkpoint, no files, no Dagster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecg_assets.evaluation.described_labels import describe_with_intervals
from ecg_assets.evaluation.metric_table import tabulate_metrics
from ecg_assets.evaluation.thresholds import Thresholds


def evaluate(  # noqa: PLR0917 (called from a REPL, by position)
    scores: ArrayLike,
    labels: ArrayLike,
    label_names: Sequence[str],
    groups: ArrayLike | None = None,
    replicates: int = 1000,
    seed: int = 0,
    *,
    thresholds: Thresholds | None = None,
) -> pd.DataFrame:
    """Compute each label's metrics, and macro, weighted and micro ones, with 95 % intervals.

    Parameters
    ----------
    scores
        Probabilities from 0 to 1, ``(record, label)``. A label with a NaN is undefined.
    labels
        0 or 1, ``(record, label)``.
    label_names
        Distinct names of the columns.
    groups
        Patient of each record, ``(record,)``: a patient's records are resampled together.
        By default each record counts as a patient of its own.
    replicates, seed
        Of the bootstrap; 0 replicates give values without intervals.
    thresholds
        As `Thresholds.from_validation` chose them; without, the metrics that need one are
        undefined. They cannot be chosen here, on the evaluated records.

    Returns
    -------
    DataFrame
        Columns label, metric, value, low, high, n, n_pos, undefined: what is undefined
        about the row and why, else None. Same arguments give the same bytes.

    Raises
    ------
    ValueError
        When shapes do not fit, a label is not 0 or 1, a score is not from 0 to 1, or a name
        comes twice.
    """
    score, target = _require_matrices(scores, labels)
    names = _require_names(label_names, score.shape[1])
    patients = np.arange(len(score)) if groups is None else _require_groups(groups, len(score))
    if replicates < 0:
        raise ValueError(f"replicates is {replicates}; expected 0 or more.")
    chosen = np.full(len(names), np.nan) if thresholds is None else thresholds.values
    if chosen.shape != (len(names),):
        raise ValueError(f"thresholds are of {len(chosen)} labels; expected {len(names)}.")
    n_missing = np.isnan(score).sum(axis=0)
    left_out = {
        name: f"{count} of {len(score)} scores are NaN"
        for name, count in zip(names, n_missing, strict=True)
        if count
    }
    found = describe_with_intervals(
        target,
        score,
        names,
        chosen,
        patients,
        left_out=left_out,
        n_resamples=replicates,
        seed=seed,
    )
    return tabulate_metrics(found.labels, found.summaries, found.undefined, replicates)


def _require_matrices(
    scores: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.floating[Any]], NDArray[np.uint8]]:
    score, target = np.asarray(scores), np.asarray(labels)
    if not np.issubdtype(score.dtype, np.floating):
        score = score.astype(np.float64)
    if score.ndim != 2 or score.shape != target.shape:
        raise ValueError(
            f"scores have shape {score.shape} and labels {target.shape}; "
            "expected the same shape (record, label) of both."
        )
    if not np.isin(target, (0, 1)).all():
        wrong = np.unique(target[~np.isin(target, (0, 1))])[:5].tolist()
        raise ValueError(f"labels hold {wrong}; expected 0 or 1.")
    outside = (score < 0) | (score > 1)
    if outside.any():
        raise ValueError(
            f"{int(outside.sum())} scores are outside 0 to 1 (from {np.nanmin(score):g} to "
            f"{np.nanmax(score):g}); expected probabilities: apply the sigmoid first."
        )
    return score, target.astype(np.uint8)


def _require_names(label_names: Sequence[str], n_labels: int) -> tuple[str, ...]:
    names = tuple(label_names)
    if len(names) != n_labels or len(set(names)) != n_labels:
        raise ValueError(
            f"label_names are {len(names)} names, {len(set(names))} of them distinct; "
            f"expected {n_labels} distinct names, one a column of scores."
        )
    return names


def _require_groups(groups: ArrayLike, n_records: int) -> NDArray[Any]:
    patients = np.asarray(groups)
    if patients.shape != (n_records,):
        raise ValueError(
            f"groups have shape {patients.shape}; expected ({n_records},), a patient a record."
        )
    return patients
