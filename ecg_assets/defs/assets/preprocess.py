"""Stage preprocess: recordings to shards, and shards to .mat files."""

from collections.abc import Iterator

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.defs.data_versions import give_partitions_their_versions
from ecg_assets.defs.input_facts import require_source
from ecg_assets.defs.partitions import SHARDS, shard_backfill_policy
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import png_metadata
from ecg_assets.defs.streams import ShardStream
from ecg_assets.defs.tables import table_metadata, table_result
from ecg_assets.preprocess import ShardDataset, draw_quality, summarize_quality


@dg.asset(
    group_name="preprocess",
    partitions_def=SHARDS,
    backfill_policy=shard_backfill_policy(),
    io_manager_key="shard",
    code_version="2",
    kinds={"parquet"},
)
def signal_shards(
    context: AssetExecutionContext, settings: Settings, record_list: pd.DataFrame
) -> Iterator[dg.Output[ShardStream]]:
    """The stored integer samples of each recording, lead by lead, with gain, baseline,
    exact sums and quality flags. Unreadable recordings go to ``rejects`` with their reason.
    """  # noqa: D205
    require_source(settings, record_list)
    stream = ShardStream(context, settings, record_list)
    yield dg.Output(stream)
    give_partitions_their_versions(context, stream.versions)


@dg.asset(group_name="preprocess", io_manager_key="parquet", code_version="1", kinds={"parquet"})
def signal_quality(
    settings: Settings, signal_shards: ShardDataset
) -> dg.MaterializeResult[pd.DataFrame]:
    """Faults of the stored recordings, shard by shard: flat leads, missing and clipped samples,
    limb leads that contradict each other, and the files that could not be read.
    """  # noqa: D205
    folder = settings.stored.folder("rejects")
    rejects = {shard: folder / path.name for shard, path in signal_shards.items()}
    summary = summarize_quality(signal_shards, rejects)
    reasons = ShardDataset(rejects).read(["reason"])["reason"].value_counts()
    totals = summary.drop(columns=["shard", "median_std_mv"]).sum()
    return table_result(
        "signal_quality",
        summary,
        {
            "shards": len(summary),
            **{str(name): int(total) for name, total in totals.items()},
            "reasons": table_metadata(reasons.rename("recordings").reset_index()),
            "faults_by_shard": png_metadata(draw_quality(summary), "Faults by shard"),
        },
    )
