"""Checks of the stage split."""

import dagster as dg
import pandas as pd

from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.split import count_splits, find_leaking_patients
from ecg_assets.split.share_comparison import compare_shares


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
def no_split_is_empty(settings: Settings, split: pd.DataFrame) -> dg.AssetCheckResult:
    """Training, choosing and testing each need records; a share of 0 says that none are wanted."""
    counts = count_splits(split).set_index("split")["records"]
    left_out = settings.split_shares.left_out if settings.split_shares else ()
    return dg.AssetCheckResult(
        passed=set(counts.index[counts == 0]) <= set(left_out),
        metadata={f"records_{name}": int(n) for name, n in counts.items()},
    )


@dg.asset_check(asset="split", blocking=False)
def shares_are_those_asked_for(settings: Settings, split: pd.DataFrame) -> dg.AssetCheckResult:
    """Of a split by hash: more or fewer patients than chance gives are a split of other shares."""
    if settings.split_shares is None:
        return dg.AssetCheckResult(
            passed=True, metadata={"compared": f"only shares of a hash, not {settings.split_rule}"}
        )
    table = compare_shares(split, settings.split_shares)
    return dg.AssetCheckResult(
        passed=bool(table["is_expected"].all()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"shares": table_metadata(table)},
    )


CHECKS = [no_patient_in_two_splits, no_split_is_empty, shares_are_those_asked_for]
