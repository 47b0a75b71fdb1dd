"""Values of each label's metrics. An undefined one is NaN, never a made-up number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ecg_assets.evaluation import record_sums as sums_of

METRICS = (
    "auroc",
    "auprc",
    "f1",
    "sensitivity",
    "specificity",
    "ppv",
    "npv",
    "brier",
    "ece",
    "calibration_slope",
    "calibration_intercept",
)


def combine_metrics(
    curves: NDArray[np.float64], sums: NDArray[np.float64], line: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute all metrics from what was summed.

    Parameters
    ----------
    curves
        AUROC and average precision, ``(…, 2)``.
    sums
        In the columns of `record_sums`, ``(…, N_SUMS)``.
    line
        Slope and intercept at which the gradient and information were taken, ``(…, 2)``.

    Returns
    -------
    NDArray
        ``(…, metric)`` in the order of `METRICS`.
    """
    columns = (sums_of.JUDGED, sums_of.JUDGED_POSITIVE, sums_of.CALLED, sums_of.HIT)
    judged, judged_positive, called, hit = (sums[..., column] for column in columns)
    records, positive = sums[..., sums_of.RECORDS], sums[..., sums_of.POSITIVE]
    rejected = judged - judged_positive - called + hit
    with_positive = np.where(judged_positive > 0, called + judged_positive, 0)
    gaps = np.abs(sums[..., sums_of.GAPS]).sum(axis=-1)
    has_both = (positive > 0) & (positive < records)
    slope, intercept = _move_line(sums, line)
    return np.stack(
        [
            curves[..., 0],
            curves[..., 1],
            _ratio(2 * hit, with_positive),
            _ratio(hit, judged_positive),
            _ratio(rejected, judged - judged_positive),
            _ratio(hit, called),
            _ratio(rejected, judged - called),
            _ratio(sums[..., sums_of.SQUARED_ERROR], records),
            _ratio(gaps, records),
            np.where(has_both, slope, np.nan),
            np.where(has_both, intercept, np.nan),
        ],
        axis=-1,
    )


def _move_line(
    sums: NDArray[np.float64], line: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take one Newton step from the line; at the full data's own line the step is zero."""
    by_slope, by_intercept = np.moveaxis(sums[..., sums_of.GRADIENT], -1, 0)
    slope_twice, mixed, intercept_twice = np.moveaxis(sums[..., sums_of.INFORMATION], -1, 0)
    determinant = slope_twice * intercept_twice - mixed**2
    # With one distinct score the two products are equal up to rounding.
    determinant = np.where(determinant > 1e-9 * slope_twice * intercept_twice, determinant, 0)
    slope = _ratio(intercept_twice * by_slope - mixed * by_intercept, determinant)
    intercept = _ratio(slope_twice * by_intercept - mixed * by_slope, determinant)
    return line[..., 0] + slope, line[..., 1] + intercept


def label_table(
    names: tuple[str, ...],
    target: NDArray[np.uint8],
    thresholds: NDArray[np.float64],
    values: NDArray[np.float64],
) -> pd.DataFrame:
    """Table of all labels: counts, prevalence, threshold, metrics."""
    table = pd.DataFrame({"label": list(names)})
    table["n"] = len(target)
    table["n_pos"] = target.sum(axis=0, dtype=np.int64)
    table["prevalence"] = table["n_pos"] / max(len(target), 1)
    table["threshold"] = thresholds
    table[list(METRICS)] = values
    return table


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64] | Any) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=result, where=np.broadcast_to(whole > 0, result.shape))
    return result
