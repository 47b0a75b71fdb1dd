"""Checks of the stage split."""

import dagster as dg
import pandas as pd

from ecg_assets.split import SPLIT_NAMES, count_splits, find_leaking_patients


@dg.asset_check(asset="split", blocking=True)
def no_patient_in_two_splits(split: pd.DataFrame) -> dg.AssetCheckResult:
    """A patient in two splits makes every later number too good."""
    leaking = len(find_leaking_patients(split))
    return dg.AssetCheckResult(
        passed=leaking == 0,
        metadata={
            "patients": int(split["subject_id"].nunique()),
            "patients_in_two_splits": leaking,
        },
    )


@dg.asset_check(asset="split", blocking=True)
def no_split_is_empty(split: pd.DataFrame) -> dg.AssetCheckResult:
    """Training, choosing and testing each need records."""
    counts = count_splits(split).set_index("split")["records"]
    return dg.AssetCheckResult(
        passed=bool((counts > 0).all()),
        metadata={f"records_{name}": int(counts[name]) for name in SPLIT_NAMES},
    )


CHECKS = [no_patient_in_two_splits, no_split_is_empty]
