"""How many recordings a model calls positive in each shard, against the validation split.

A shift says that recordings, their preparation or the patients differ, before any label of
them is known.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from ecg_assets.evaluation.shift.stability_index import stability_index
from ecg_assets.evaluation.thresholds import Thresholds
from ecg_assets.models.predictions import Predictions, ValidationPredictions

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
