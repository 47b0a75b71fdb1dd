"""What scores mean on the evaluated set, against what they meant on validation."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecg_assets.evaluation.evaluate import evaluate
from ecg_assets.evaluation.result import EvaluationResult
from ecg_assets.models.predictions import ValidationPredictions

COMPARED = ("calibration_slope", "calibration_intercept")
RESAMPLES = 200
"""Of the validation split's patients: enough for the ends of an interval to be compared."""
LEAST_PATIENTS = 30
"""With fewer in either set nothing is called shifted: percentile intervals are too narrow."""


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
