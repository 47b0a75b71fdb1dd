"""Checks of checkpoints on other sources, and of labels across codings."""

import dagster as dg
import pandas as pd
from dagster import AssetCheckExecutionContext

from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation import EvaluationResult
from ecg_assets.evaluation.external.crosswalk import unmapped_labels
from ecg_assets.evaluation.external.external_set import describe_set
from ecg_assets.models.checkpoint_files import read_card


@dg.asset_check(asset="label_crosswalk", blocking=False)
def current_source_expresses_every_label(
    settings: Settings, label_crosswalk: pd.DataFrame
) -> dg.AssetCheckResult:
    """A label that the current source has no codes for is neither learned nor measured on it."""
    here = label_crosswalk[label_crosswalk["evaluation_source"] == settings.source]
    unmapped = unmapped_labels(here)
    table = pd.DataFrame(unmapped.items(), columns=["label", "reason"])
    return dg.AssetCheckResult(
        passed=not unmapped,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"labels": here["label"].nunique(), "unmapped": table_metadata(table)},
    )


@dg.asset_check(asset="external_metrics", partitions_def=CHECKPOINTS, blocking=False)
def sets_do_not_overlap_with_training(
    context: AssetCheckExecutionContext,
    settings: Settings,
    external_metrics: list[EvaluationResult],
) -> dg.AssetCheckResult:
    """A set that may hold recordings of the training is listed with the reason."""
    trained_on = read_card(settings.checkpoints / context.partition_key).trained_on
    kinds = [describe_set(result.source, trained_on) for result in external_metrics]
    overlapping = {kind.name: kind.note for kind in kinds if kind.note and not kind.is_test_split}
    return dg.AssetCheckResult(
        passed=not overlapping,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"sets": len(kinds), "overlapping": overlapping},
    )


CHECKS = [current_source_expresses_every_label, sets_do_not_overlap_with_training]
