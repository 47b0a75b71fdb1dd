"""Stage sources: what recordings there are, and what the cart said of them."""

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.defs.partitions import SHARDS, register_exactly
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata, table_result


@dg.asset(group_name="sources", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def record_list(
    context: AssetExecutionContext, settings: Settings
) -> dg.MaterializeResult[pd.DataFrame]:
    """One row per recording of the source, in the schema that all sources share.

    Materializing it registers the source's shards as partitions.
    """
    found = settings.open_source().read_records()
    per_shard = found.table.groupby("shard").agg(
        records=("record_id", "size"), patients=("subject_id", "nunique")
    )
    added, removed = register_exactly(context.instance, SHARDS, sorted(per_shard.index))
    context.log.info(f"{len(found.table)} records in {len(per_shard)} shards; {found.findings}")
    return table_result(
        "record_list",
        found.table,
        {
            "source": settings.source,
            "shards": table_metadata(per_shard.reset_index()),
            "shards_added": added,
            "shards_removed": removed,
            **found.findings,
        },
    )


@dg.asset(group_name="sources", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def machine_reports(
    settings: Settings, record_list: pd.DataFrame
) -> dg.MaterializeResult[pd.DataFrame]:
    """The report lines (or diagnosis codes) of each recording, and the cart's measurements."""
    found = settings.open_source().read_reports(record_list)
    return table_result("machine_reports", found.table, {**found.findings})
