"""Checks of the stage labels."""

import dagster as dg
import pandas as pd

from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.labels import compare_with_published, label_prevalence, n_published_studies
from ecg_assets.labels.label_set import ECG_FM_17

MIMIC = "mimic-iv-ecg"


@dg.asset_check(
    asset="labels", additional_ins={"record_list": dg.AssetIn("record_list")}, blocking=True
)
def every_study_is_labelled_once(
    labels: pd.DataFrame, record_list: pd.DataFrame
) -> dg.AssetCheckResult:
    """A study that stands twice, or labels of no study, would be learned twice or not at all."""
    pairs = labels.duplicated(["record_id", "label"]).sum()
    studies = record_list["study_id"].duplicated().sum()
    unknown = (~labels["record_id"].drop_duplicates().isin(record_list["record_id"])).sum()
    return dg.AssetCheckResult(
        passed=not (pairs or studies or unknown),
        metadata={
            "studies": len(record_list),
            "repeated_study_ids": int(studies),
            "repeated_record_and_label": int(pairs),
            "labelled_records_outside_the_record_list": int(unknown),
        },
    )


@dg.asset_check(asset="labels", blocking=False)
def no_label_is_empty(labels: pd.DataFrame) -> dg.AssetCheckResult:
    """A label that no recording has cannot be learned or measured."""
    prevalence = label_prevalence(labels)
    empty = prevalence.loc[prevalence["positives"] == 0, "label"].tolist()
    return dg.AssetCheckResult(
        passed=not empty and len(prevalence) > 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"labels": len(prevalence), "empty_labels": empty},
    )


@dg.asset_check(asset="labels", blocking=False)
def prevalence_is_as_expected(settings: Settings, labels: pd.DataFrame) -> dg.AssetCheckResult:
    """On MIMIC-IV-ECG each label's share lies in the range that ECG-FM's counts make expected."""
    if settings.source != MIMIC or settings.label_set != ECG_FM_17:
        return dg.AssetCheckResult(
            passed=True, metadata={"compared": f"only {MIMIC} with {ECG_FM_17} can be compared"}
        )
    table = compare_with_published(labels)
    return dg.AssetCheckResult(
        passed=bool(table["is_expected"].all()),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"comparison": table_metadata(table)},
    )


@dg.asset_check(asset="upstream_labels", blocking=False)
def counts_are_the_published_ones(
    settings: Settings, upstream_labels: pd.DataFrame
) -> dg.AssetCheckResult:
    """On all of MIMIC-IV-ECG, ECG-FM's labeler gives its published counts exactly."""
    table = compare_with_published(upstream_labels)
    studies = upstream_labels["record_id"].nunique()
    if settings.source != MIMIC or studies != n_published_studies():
        return dg.AssetCheckResult(
            passed=True,
            metadata={"studies": studies, "compared": f"only all of {MIMIC} can be compared"},
        )
    return dg.AssetCheckResult(
        passed=bool((table["positives"] == table["published"]).all()),
        metadata={"studies": studies, "comparison": table_metadata(table)},
    )


CHECKS = [
    every_study_is_labelled_once,
    no_label_is_empty,
    prevalence_is_as_expected,
    counts_are_the_published_ones,
]
