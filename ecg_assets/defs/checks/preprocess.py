"""Checks of the stage preprocess."""

from dataclasses import dataclass

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
from dagster import AssetCheckExecutionContext

from ecg_assets.defs.partitions import SHARDS
from ecg_assets.defs.resources import Settings


@dataclass(frozen=True)
class _ShardCounts:
    shard: str
    kept: int
    rejected: int

    @property
    def share(self) -> float:
        """Share of the shard's recordings that could not be read."""
        return self.rejected / max(self.kept + self.rejected, 1)


@dg.asset_check(asset="signal_shards", blocking=True, partitions_def=SHARDS)
def rejected_share_is_below_limit(
    context: AssetCheckExecutionContext, settings: Settings
) -> dg.AssetCheckResult:
    """A shard full of unreadable files is a broken or partial copy; each shard has its result."""
    run = context.op_execution_context
    found = [_count(settings, shard) for shard in run.partition_keys]
    results = {counts.shard: _judge(settings, counts) for counts in found}
    if len(found) > 1:
        # Dagster gives the one result of a run over many partitions to none of them.
        for shard, result in results.items():
            run.log_event(
                dg.AssetCheckEvaluation(  # type: ignore[arg-type]  # it takes one
                    asset_key=dg.AssetKey("signal_shards"),
                    check_name="rejected_share_is_below_limit",
                    passed=result.passed,
                    metadata=result.metadata,
                    partition=shard,
                    blocking=True,
                )
            )
    worst = max(found, key=lambda counts: counts.share)
    return dg.AssetCheckResult(
        passed=all(result.passed for result in results.values()),
        metadata={
            "shards": len(found),
            "worst_shard": worst.shard,
            **results[worst.shard].metadata,
            "records": sum(counts.kept for counts in found),
            "rejected": sum(counts.rejected for counts in found),
        },
    )


@dg.asset_check(asset="signal_quality", blocking=False)
def limb_leads_fit_each_other(signal_quality: pd.DataFrame) -> dg.AssetCheckResult:
    """Limb leads that contradict each other stand under wrong names or with wrong signs."""
    faulty = signal_quality[signal_quality["limb_fault"] > 0]
    return dg.AssetCheckResult(
        passed=faulty.empty,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "recordings": int(faulty["limb_fault"].sum()),
            "shards": faulty["shard"].tolist(),
        },
    )


def _count(settings: Settings, shard: str) -> _ShardCounts:
    stored = settings.folder("signal_shards") / f"{shard}.parquet"
    rejects = settings.folder("rejects") / stored.name
    return _ShardCounts(
        shard, pq.read_metadata(stored).num_rows, pq.read_metadata(rejects).num_rows
    )


def _judge(settings: Settings, counts: _ShardCounts) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=counts.share <= settings.max_rejected_share,
        metadata={
            "records": counts.kept,
            "rejected": counts.rejected,
            "rejected_share": counts.share,
            "limit": settings.max_rejected_share,
        },
    )


CHECKS = [rejected_share_is_below_limit, limb_leads_fit_each_other]
