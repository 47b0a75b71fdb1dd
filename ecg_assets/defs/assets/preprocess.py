"""Stage preprocess: recordings to shards, and shards to .mat files."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.defs.data_versions import give_partitions_their_versions
from ecg_assets.defs.partitions import SHARDS, shard_backfill_policy
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.shard_stream import MatStream, ShardStream


@dg.asset(
    group_name="preprocess",
    partitions_def=SHARDS,
    backfill_policy=shard_backfill_policy(),
    io_manager_key="shard",
    code_version="1",
    kinds={"parquet"},
)
def signal_shards(
    context: AssetExecutionContext, settings: Settings, record_list: pd.DataFrame
) -> Iterator[dg.Output[ShardStream]]:
    """The stored integer samples of each recording, lead by lead, with gain, baseline,
    exact sums and quality flags. Unreadable recordings go to ``rejects`` with their reason.
    """  # noqa: D205
    stream = ShardStream(context, settings, record_list)
    yield dg.Output(stream)
    give_partitions_their_versions(context, stream.versions)


@dg.asset(
    group_name="preprocess",
    partitions_def=SHARDS,
    backfill_policy=shard_backfill_policy(),
    io_manager_key="mat",
    code_version="1",
    kinds={"matlab"},
)
def mat_records(
    context: AssetExecutionContext,
    settings: Settings,
    record_list: pd.DataFrame,
    signal_shards: dict[str, Path],
) -> Iterator[dg.Output[MatStream]]:
    """What fairseq-signals reads: one .mat file a segment, the lead repeated to 12 rows."""
    stream = MatStream(context, settings.signal_spec, record_list, signal_shards)
    yield dg.Output(stream)
    give_partitions_their_versions(context, stream.versions)
