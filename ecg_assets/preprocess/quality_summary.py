"""What is wrong with the stored recordings, shard by shard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ecg_assets.figures import SERIES, make_figure, to_png
from ecg_assets.preprocess.quality import CLASSES
from ecg_assets.preprocess.shard_store import ShardDataset
from ecg_assets.tables import Column, TableSchema

SIGNAL_QUALITY = TableSchema(
    "signal_quality",
    (
        Column("shard", pa.string(), "name of the shard"),
        Column("records", pa.int64(), "recordings stored"),
        Column("rejected", pa.int64(), "recordings that could not be read"),
        Column("flat_lead", pa.int64(), "recordings with a constant lead among the stored ones"),
        Column("missing_samples", pa.int64(), "recordings with a missing sample"),
        Column("clipped_samples", pa.int64(), "recordings with a lead that stays at its extreme"),
        Column("limb_fault", pa.int64(), "recordings whose limb leads do not fit each other"),
        Column("unacceptable", pa.int64(), "recordings that NeuroKit2 calls unacceptable"),
        Column("judged", pa.int64(), "recordings that NeuroKit2 judged"),
        Column(
            "median_std_mv",
            pa.float64(),
            "median of the leads' standard deviation in mV; empty where nothing could be read",
            nullable=True,
        ),
    ),
)

_FAULTS = (
    "rejected",
    "flat_lead",
    "missing_samples",
    "clipped_samples",
    "limb_fault",
    "unacceptable",
)


def summarize_quality(shards: ShardDataset, rejects: Mapping[str, Path]) -> pd.DataFrame:
    """Count faults in each shard by the stored statistics; no sample is read.

    Parameters
    ----------
    shards
        Stored shards.
    rejects
        Their files of rejects.

    Returns
    -------
    DataFrame
        As `SIGNAL_QUALITY` declares.
    """
    rows = [
        _summarize(shard, shards, pq.read_metadata(rejects[shard]).num_rows) for shard in shards
    ]
    return pd.DataFrame(rows, columns=[column.name for column in SIGNAL_QUALITY.columns])


def draw_quality(summary: pd.DataFrame) -> bytes:
    """Draw the share of recordings with each fault, a row a shard."""
    total = (summary["records"] + summary["rejected"]).clip(lower=1)
    shown = {
        name: color for name, color in zip(_FAULTS, SERIES, strict=False) if summary[name].any()
    }
    figure, [[axes]] = make_figure(9, 0.22 * len(summary) + 1.6)
    places = np.arange(len(summary))
    for number, (name, color) in enumerate(shown.items()):
        height = 0.8 / len(shown)
        axes.barh(
            places - 0.4 + (number + 0.5) * height,
            100 * summary[name] / total,
            height,
            color=color,
            label=name.replace("_", " "),
        )
    axes.set_yticks(places, summary["shard"], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="recordings, %", xlim=(0, None))
    if shown:
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    else:
        axes.set_title("no recording has a fault", fontsize=9, loc="left")
    return to_png(figure)


def _summarize(shard: str, shards: ShardDataset, n_rejected: int) -> dict[str, object]:
    names = pq.read_schema(shards[shard]).names
    leads = [name.removeprefix("lead_") for name in names if name.startswith("lead_")]
    kinds = ("is_flat", "n_missing", "n_clipped", "sum", "sum_sq", "gain")
    columns = ["n_samples", "limb_fault", "signal_quality"]
    columns += [f"{kind}_{lead}" for kind in kinds for lead in leads]
    frame = ShardDataset({shard: shards[shard]}).read(columns)
    of_leads = {
        kind: frame[[f"{kind}_{lead}" for lead in leads]].to_numpy(dtype=np.float64)
        for kind in kinds
    }
    n_present = np.maximum(frame[["n_samples"]].to_numpy() - of_leads["n_missing"], 1)
    variance = of_leads["sum_sq"] / n_present - (of_leads["sum"] / n_present) ** 2
    std_mv = np.sqrt(np.maximum(variance, 0)) / of_leads["gain"]
    return {
        "shard": shard,
        "records": len(frame),
        "rejected": n_rejected,
        "flat_lead": int(of_leads["is_flat"].any(axis=1).sum()),
        "missing_samples": int(of_leads["n_missing"].any(axis=1).sum()),
        "clipped_samples": int(of_leads["n_clipped"].any(axis=1).sum()),
        "limb_fault": int(frame["limb_fault"].notna().sum()),
        "unacceptable": int((frame["signal_quality"] == CLASSES[0]).sum()),
        "judged": int(frame["signal_quality"].notna().sum()),
        "median_std_mv": float(np.median(std_mv)) if len(frame) else np.nan,
    }
