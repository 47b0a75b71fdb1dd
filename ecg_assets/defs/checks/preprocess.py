"""Checks of the stage preprocess."""

import dagster as dg
import pyarrow.parquet as pq

from ecg_assets.defs.resources import Settings


@dg.asset_check(asset="signal_shards", blocking=True)
def rejected_share_is_below_limit(settings: Settings) -> dg.AssetCheckResult:
    """Looks at all stored shards; a shard full of unreadable files is a broken copy."""
    shares = {}
    for path in sorted(settings.folder("signal_shards").glob("*.parquet")):
        kept = pq.read_metadata(path).num_rows
        rejected = pq.read_metadata(settings.folder("rejects") / path.name).num_rows
        shares[path.stem] = rejected / max(kept + rejected, 1)
    worst = max(shares, key=lambda shard: shares[shard], default="")
    return dg.AssetCheckResult(
        passed=bool(shares) and shares[worst] <= settings.max_rejected_share,
        metadata={
            "shards": len(shares),
            "worst_shard": worst,
            "worst_rejected_share": shares.get(worst, 0.0),
            "limit": settings.max_rejected_share,
        },
    )


CHECKS = [rejected_share_is_below_limit]
