"""Checks of the stage build."""

import dagster as dg
import pandas as pd

from ecg_assets.build import Manifest, find_missing_samples, label_definition
from ecg_assets.defs.database_view import count_databases
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.labels.label_databases import (
    FEWEST_POSITIVES,
    MOST_OF_ONE_DATABASE,
    find_confounded,
)
from ecg_assets.split import find_leaking_patients


@dg.asset_check(asset="manifests", blocking=True)
def no_patient_in_two_splits(manifests: Manifest) -> dg.AssetCheckResult:
    """The same check as on the split, on the manifests as they were written."""
    leaking = len(find_leaking_patients(manifests.index))
    return dg.AssetCheckResult(
        passed=leaking == 0,
        metadata={
            "patients": int(manifests.index["subject_id"].nunique()),
            "patients_in_two_splits": leaking,
        },
    )


@dg.asset_check(asset="manifests", blocking=True)
def every_row_points_at_a_sample(settings: Settings, manifests: Manifest) -> dg.AssetCheckResult:
    """Each row's shard and row hold the record that the manifest names."""
    missing = find_missing_samples(manifests.index, settings.folder("signal_shards"))
    return dg.AssetCheckResult(
        passed=len(missing) == 0,
        metadata={"rows": len(manifests.index), "rows_without_sample": len(missing)},
    )


@dg.asset_check(asset="manifests", blocking=False)
def every_label_has_positives(manifests: Manifest) -> dg.AssetCheckResult:
    """A label without positives in train is not learned, without some in test not measured."""
    counts = label_definition(manifests)
    lacking = {
        name: counts.loc[counts[f"pos_count_{name}"] == 0, "name"].tolist()
        for name in ("train", "test")
    }
    return dg.AssetCheckResult(
        passed=not any(lacking.values()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"lacking": lacking, "label_definition": table_metadata(counts)},
    )


@dg.asset_check(
    asset="manifests", additional_ins={"record_list": dg.AssetIn("record_list")}, blocking=False
)
def no_label_is_of_one_database(
    manifests: Manifest, record_list: pd.DataFrame
) -> dg.AssetCheckResult:
    """A label whose positives come from one of several databases can be told by its hospital."""
    counts = count_databases(manifests, record_list)
    confounded = find_confounded(counts)
    return dg.AssetCheckResult(
        passed=confounded.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "databases": int(counts["database"].nunique()),
            "most_of_one_database": MOST_OF_ONE_DATABASE,
            "fewest_positives": FEWEST_POSITIVES,
            "confounded_labels": table_metadata(confounded),
        },
    )


CHECKS = [
    no_patient_in_two_splits,
    every_row_points_at_a_sample,
    every_label_has_positives,
    no_label_is_of_one_database,
]
