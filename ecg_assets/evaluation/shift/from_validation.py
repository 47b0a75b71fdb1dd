"""What scores mean on the evaluated set, against what they meant on validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation.evaluate import evaluate
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.evaluation.shift.stability_index import stability_index
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.metrics.intervals import LEAST_PATIENTS
from ecg_assets.models.predictions import Predictions, ValidationPredictions

COMPARED = ("calibration_slope", "calibration_intercept")
RESAMPLES = 200
"""Of the validation split's patients: enough for the ends of an interval to be compared."""


def compare_calibration(
    validation: ValidationPredictions, result: EvaluationResult
) -> pd.DataFrame:
    """Compare slope and intercept of the calibration, all labels pooled, with validation's.

    They have shifted when the two 95 % intervals have no number in common, which is rarer
    than one in twenty without a shift: with as many patients in both, some one in 180.

    Returns
    -------
    DataFrame
        Columns metric, value, low, high (of the evaluated set), validation_value,
        validation_low, validation_high, is_shifted. One that is undefined, or of fewer than
        `LEAST_PATIENTS`, is not shifted.
    """
    table = evaluate(
        validation.score,
        validation.target,
        validation.vocabulary.names,
        validation.subject_ids,
        replicates=min(RESAMPLES, result.n_resamples),
        seed=result.seed,
    )
    before = table[table["label"] == "micro"].set_index("metric")
    n_patients = min(result.n_patients, len(np.unique(validation.subject_ids)))
    rows = []
    for metric in COMPARED:
        now = [result.micro.get(name, np.nan) for name in (metric, f"{metric}_low")]
        now.append(result.micro.get(f"{metric}_high", np.nan))
        then = [float(before[end][metric]) for end in ("value", "low", "high")]
        is_shifted = now[1] > then[2] or now[2] < then[1]  # no comparison holds for a NaN
        rows.append((metric, *now, *then, bool(is_shifted) and n_patients >= LEAST_PATIENTS))
    ends = ("value", "low", "high")
    columns = ["metric", *ends, *(f"validation_{end}" for end in ends), "is_shifted"]
    return pd.DataFrame(rows, columns=columns)


# How many recordings a model calls positive in each shard, against the validation split.


LEAST_INDEX = 0.1
"""Smaller indices count as stable, however many recordings there are."""

FALSE_ALARM = 0.05
"""Chance of any alarm without a shift, over all shards and labels together."""


def compare_predicted_shares(
    validation: ValidationPredictions, predictions: Predictions, shards: NDArray[np.str_]
) -> pd.DataFrame:
    """Compare the share called positive, shard by shard and label by label, with validation's.

    Both are called by the thresholds chosen on validation. A share is shifted when its
    stability index is at least `LEAST_INDEX` and beyond what chance gives: without a shift,
    the index over (1 / n + 1 / m) follows a χ² distribution with one degree of freedom,
    here with patients as n and m, corrected for the number of comparisons (Bonferroni).

    Parameters
    ----------
    validation, predictions
        Of the same labels.
    shards
        Shard of each row of `predictions`, ``(record,)``.

    Returns
    -------
    DataFrame
        Columns shard, label, n_records, n_patients, share, validation_share, index,
        chance_limit, is_shifted; labels without a threshold are left out.
    """
    from scipy.stats import chi2

    thresholds = Thresholds.from_validation(validation).values
    kept = np.flatnonzero(np.isfinite(thresholds))
    names = [predictions.vocabulary.names[k] for k in kept]
    before = _count(validation.score[:, kept] >= thresholds[kept])
    n_before = len(np.unique(validation.subject_ids))
    groups = sorted(set(shards.tolist()))
    quantile = chi2.ppf(1 - FALSE_ALARM / max(len(groups) * len(kept), 1), 1)
    rows = []
    for shard in groups:
        is_here = shards == shard
        now = _count(predictions.score[is_here][:, kept] >= thresholds[kept])
        n_patients = len(np.unique(predictions.subject_ids[is_here]))
        frame = pd.DataFrame({"label": names, "share": now[:, 1] / now.sum(axis=1)})
        frame["validation_share"] = before[:, 1] / before.sum(axis=1)
        frame["index"] = stability_index(before, now)
        frame["chance_limit"] = quantile * (1 / n_before + 1 / n_patients)
        rows.append(frame.assign(shard=shard, n_records=int(is_here.sum()), n_patients=n_patients))
    return _with_verdict(rows)


def _count(called: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Count records not called and called, ``(label, 2)``."""
    positive = called.sum(axis=0, dtype=np.int64)
    return np.stack([len(called) - positive, positive], axis=1)


def _with_verdict(rows: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["shard", "label", "n_records", "n_patients", "share", "validation_share"]
    columns += ["index", "chance_limit"]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)
    is_shifted = (table["index"] >= LEAST_INDEX) & (table["index"] > table["chance_limit"])
    return table[columns].assign(is_shifted=is_shifted)
