"""What the list of doubted labels shows: files for the reviewer, and counts in the UI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation.noise.label_review import (
    caption_suspect,
    count_suspects,
    write_review_list,
)
from ecg_assets.evaluation.noise.planted_flips import PlantedFlips
from ecg_assets.preprocess import ShardDataset, draw_strips, lead_in_mv
from ecg_assets.storage import replace_folder

N_STRIPS = 6


def write_review(table: pd.DataFrame, shards: ShardDataset, lead: str, folder: Path) -> Path | None:
    """Write ``labels.csv`` for the reviewer and ``strips.png`` of the first recordings.

    Returns
    -------
    Path or None
        The picture; None where the list is empty.
    """
    with replace_folder(folder) as temporary:
        write_review_list(table, temporary / "labels.csv")
        if len(table):
            (temporary / "strips.png").write_bytes(_draw(table.head(N_STRIPS), shards, lead))
    return folder / "strips.png" if len(table) else None


def show_suspects(
    table: pd.DataFrame,
    planted: PlantedFlips,
    not_judged: Mapping[str, str],
    strips: Path | None,
    folder: Path,
) -> dict[str, Any]:
    """Collect counts and the picture; no id and no line of a report."""
    shown = {
        "pairs_judged": len(table),
        "by_label": table_metadata(count_suspects(table)),
        "labels_not_judged": dg.MetadataValue.json(dict(not_judged)),
        "review_list": dg.MetadataValue.path(folder / "labels.csv"),
        "planted_flips": planted.n_planted,
    }
    if planted.n_planted:
        shown["planted_flips_in_top_5_percent"] = planted.share_in_top
        shown["median_rank_share_of_planted_flips"] = planted.median_rank_share
    if strips is not None:
        shown["strips"] = png_metadata(strips, "The most suspicious labels")
    return shown


def _draw(chosen: pd.DataFrame, shards: ShardDataset, lead: str) -> bytes:
    stored = shards.read_records(chosen["record_id"].tolist(), [lead])
    read = [lead_in_mv(stored, row, lead) for row in range(len(chosen))]
    captions = [f"{caption_suspect(row)} · lead {lead}" for _, row in chosen.iterrows()]
    return draw_strips(captions, [signal for signal, _ in read], [rate for _, rate in read])
