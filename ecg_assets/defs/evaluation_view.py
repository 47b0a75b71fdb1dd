"""What an evaluation shows: its pictures, its numbers in the UI, the inputs of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecg_assets.build import Manifest
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation import EvaluationResult, Strip
from ecg_assets.evaluation.report.figures import draw_auroc_forest
from ecg_assets.models.checkpoint_files import CheckpointCard
from ecg_assets.models.predictions import Predictions
from ecg_assets.preprocess import ShardDataset, draw_strips, lead_in_mv

TRAINING = "training: "
"""Prefix of the inputs of training in a result's lineage."""

_SHOWN = (
    "label",
    "n_pos",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auprc",
    "sensitivity",
    "specificity",
)


def training_inputs(card: CheckpointCard) -> dict[str, str]:
    """Fingerprints that the checkpoint was trained from, by prefixed name."""
    inputs: dict[str, str] = card.run.get("request", {}).get("inputs", {})
    return {f"{TRAINING}{name}": value for name, value in inputs.items()}


def metrics_metadata(result: EvaluationResult) -> dict[str, Any]:
    """Numbers and the picture that the UI shows of an evaluation."""
    macro = {
        f"macro_{name}": value
        for name, value in result.macro.items()
        if np.isfinite(value) and not name.endswith(("_low", "_high"))
    }
    return {
        "evaluation_set": result.evaluation_set,
        "records": result.n_records,
        "patients": result.n_patients,
        **macro,
        "labels": table_metadata(result.labels[list(_SHOWN)]),
        "undefined_labels": list(result.undefined),
        "auroc_by_label": png_metadata(draw_auroc_forest(result), "AUROC by label"),
        "lineage": result.lineage,
    }


def draw_examples(
    strips: Sequence[Strip], predictions: Predictions, manifest: Manifest, shard_folder: Path
) -> dict[str, bytes]:
    """Draw the report's examples, a picture a label, by title."""
    lead = manifest.spec.leads[0]
    by_label: dict[str, list[Strip]] = {}
    for strip in strips:
        by_label.setdefault(strip.label, []).append(strip)
    pictures = {}
    for label, chosen in by_label.items():
        read = [
            read_signal_mv(manifest, str(predictions.record_ids[strip.row]), shard_folder, lead)
            for strip in chosen
        ]
        pictures[f"Examples of {label}"] = draw_strips(
            [f"{strip.caption} · lead {lead}" for strip in chosen],
            [signal for signal, _ in read],
            [rate for _, rate in read],
        )
    return pictures


def read_signal_mv(
    manifest: Manifest, record_id: str, shard_folder: Path, lead: str
) -> tuple[NDArray[np.float32], float]:
    """Read one lead of one recording in mV, and its sample rate."""
    where = manifest.index.loc[manifest.index["record_id"] == record_id].iloc[0]
    shard, row = str(where["shard"]), int(where["row"])
    shards = ShardDataset({shard: shard_folder / f"{shard}.parquet"})
    return lead_in_mv(shards.read_rows(shard, row, row + 1, [lead]), 0, lead)
