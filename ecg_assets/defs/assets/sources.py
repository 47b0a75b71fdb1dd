"""Stage sources: what recordings there are, and what the cart said of them."""

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.defs.partitions import SHARDS, register_exactly
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.errors import SettingsError
from ecg_assets.sources import complete_shards, find_damaged_files, is_remote
from ecg_assets.sources import mirror_status as find_mirror_status


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


class MirrorConfig(dg.Config):
    """What to look at."""

    verify_checksums: bool = Field(
        default=False,
        description="Read every file that is on disk and compare it with SHA256SUMS.txt: "
        "hours for a whole mirror.",
    )


@dg.asset(group_name="sources", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def mirror_status(
    context: AssetExecutionContext,
    config: MirrorConfig,
    settings: Settings,
    record_list: pd.DataFrame,
) -> dg.MaterializeResult[pd.DataFrame]:
    """What record_list names and the disk lacks, folder by folder. A download of the dataset
    may go on for days: complete_shards can be preprocessed before it ends.
    """  # noqa: D205
    if is_remote(settings.raw_root):
        raise SettingsError(
            f"mirror_status looks at a copy on disk, and ECG_RAW_ROOT is {settings.raw_root}. "
            "Recordings of a remote root are fetched shard by shard."
        )
    status = find_mirror_status(settings.source_root, record_list)
    damaged: list[str] = []
    if config.verify_checksums:
        damaged = find_damaged_files(
            settings.source_root,
            status["folder"],
            progress=lambda n, total: context.log.info(f"{n} of {total} files compared"),
        )
        status["damaged"] = [
            sum(name.startswith(f"{folder}/") for name in damaged) for folder in status["folder"]
        ]
    incomplete = status[status["missing"] > 0]
    return table_result(
        "mirror_status",
        status,
        {
            "records": int(status["records"].sum()),
            "missing": int(status["missing"].sum()),
            "complete_shards": complete_shards(status),
            "incomplete_folders": len(incomplete),
            "most_missing": table_metadata(incomplete.nlargest(50, "missing")),
            "damaged_files": damaged[:1000],
        },
    )
