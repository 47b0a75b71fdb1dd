"""What a shard holds, in numbers that may be shown."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from ecg_assets.preprocess.shard import ShardTables


def shard_summary(tables: ShardTables) -> dict[str, int | float]:
    """Count recordings, rejects by reason, and recordings with a quality flag in any lead.

    ``missing_share`` is the share of missing samples; shares of nothing are 0.
    """
    signals, reasons = tables.signals, tables.rejects["reason"].value_counts()
    names = signals.column_names
    n_total = signals.num_rows + len(tables.rejects)
    flagged = {
        kind: np.array([signals[name].to_numpy() for name in names if name.startswith(kind)])
        for kind in ("is_flat_", "n_missing_", "n_clipped_")
    }
    n_samples = (pc.sum(signals["n_samples"]).as_py() or 0) * len(flagged["n_missing_"])
    return {
        "records": signals.num_rows,
        "rejected": len(tables.rejects),
        "rejected_share": len(tables.rejects) / max(n_total, 1),
        "records_with_flat_lead": int(flagged["is_flat_"].any(axis=0).sum()),
        "records_with_missing_samples": int(flagged["n_missing_"].any(axis=0).sum()),
        "records_with_clipped_samples": int(flagged["n_clipped_"].any(axis=0).sum()),
        "missing_share": float(flagged["n_missing_"].sum() / max(n_samples, 1)),
        **{f"rejected_{reason}": int(reasons[reason]) for reason in sorted(reasons.index)},
    }
