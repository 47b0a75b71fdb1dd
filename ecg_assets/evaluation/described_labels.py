"""Labels and summary rows of one evaluation, those that cannot be evaluated left out by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation.intervals import SUMMARIES, BootstrapIntervals, bootstrap_by_patient
from ecg_assets.evaluation.metric_table import NO_NEGATIVE, NO_POSITIVE, NO_RECORD
from ecg_assets.evaluation.metrics import METRICS, label_table


@dataclass(frozen=True)
class DescribedLabels:
    """What an evaluation found.

    Attributes
    ----------
    labels
        One row a label: label, n, n_pos, prevalence, threshold, each metric with
        ``_low`` and ``_high``.
    summaries
        ``macro``, ``weighted``, ``micro``: metric to value, ``_low`` and ``_high``.
    undefined
        Label to the reason why it has no AUROC.
    """

    labels: pd.DataFrame
    summaries: dict[str, dict[str, float]]
    undefined: dict[str, str]


def describe_with_intervals(
    target: NDArray[np.uint8],
    score: NDArray[np.floating[Any]],
    names: tuple[str, ...],
    thresholds: NDArray[np.float64],
    subject_ids: NDArray[Any],
    *,
    left_out: Mapping[str, str],
    n_resamples: int,
    seed: int,
) -> DescribedLabels:
    """Compute values and intervals of each label and of the summary rows.

    Parameters
    ----------
    target, score
        0 or 1, and probabilities, ``(record, label)``; NaN only in labels left out.
    left_out
        Label to the reason why it cannot be evaluated: it has no number and takes no part
        in a summary.
    """
    kept = np.array([k for k, name in enumerate(names) if name not in left_out], np.intp)
    found = bootstrap_by_patient(
        target[:, kept],
        score[:, kept],
        thresholds[kept],
        subject_ids,
        n_resamples=n_resamples,
        generator=np.random.default_rng(seed),
        is_pooled=True,
    )
    values, low, high = (np.full((len(names), len(METRICS)), np.nan) for _ in range(3))
    for part, whole in ((values, found.values), (low, found.low), (high, found.high)):
        part[kept] = whole[: len(kept)]
    labels = label_table(names, target, thresholds, values)
    for column, metric in enumerate(METRICS):
        labels[f"{metric}_low"] = low[:, column]
        labels[f"{metric}_high"] = high[:, column]
    is_left_out = labels["label"].isin(list(left_out))
    labels.loc[is_left_out, ["n", "n_pos"]] = 0
    labels.loc[is_left_out, "prevalence"] = np.nan
    summaries = {name: _with_interval(found, len(kept) + row) for row, name in enumerate(SUMMARIES)}
    reasons = {**_one_sided(labels[~is_left_out]), **left_out}
    undefined = {name: reasons[name] for name in names if name in reasons}
    return DescribedLabels(labels, summaries, undefined)


def _with_interval(found: BootstrapIntervals, row: int) -> dict[str, float]:
    result: dict[str, float] = {}
    for column, metric in enumerate(METRICS):
        result[metric] = float(found.values[row, column])
        result[f"{metric}_low"] = float(found.low[row, column])
        result[f"{metric}_high"] = float(found.high[row, column])
    return result


def _one_sided(labels: pd.DataFrame) -> dict[str, str]:
    reasons = {}
    for name, n, n_pos in zip(labels["label"], labels["n"], labels["n_pos"], strict=True):
        if n == 0:
            reasons[name] = NO_RECORD
        elif n_pos == 0:
            reasons[name] = NO_POSITIVE
        elif n_pos == n:
            reasons[name] = NO_NEGATIVE
    return reasons
