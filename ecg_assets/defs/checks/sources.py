"""Checks of the stage sources."""

import dagster as dg
import pandas as pd


@dg.asset_check(
    asset="machine_reports",
    additional_ins={"record_list": dg.AssetIn("record_list")},
    blocking=False,
)
def every_record_has_a_report(
    record_list: pd.DataFrame, machine_reports: pd.DataFrame
) -> dg.AssetCheckResult:
    """Records without a report get no labels and are left out of training."""
    filled = machine_reports.loc[machine_reports["lines"].str.len() > 0, "record_id"]
    without = int((~record_list["record_id"].isin(filled)).sum())
    return dg.AssetCheckResult(
        passed=without == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"records": len(record_list), "records_without_report": without},
    )


CHECKS = [every_record_has_a_report]
