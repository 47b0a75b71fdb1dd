"""Stage evaluation: every checkpoint, by its partition, on the current source."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.build import Manifest, SignalCache
from ecg_assets.defs.assets.build import manifest_inputs
from ecg_assets.defs.data_versions import version_of
from ecg_assets.defs.evaluation_set import choose_rows
from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.defs.pictures import png_metadata
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.evaluation import EvaluationResult, evaluate, write_report
from ecg_assets.lineage import fingerprint_file, fingerprint_folder, fingerprint_table
from ecg_assets.models.checkpoint_files import read_card, read_validation_predictions
from ecg_assets.models.predictions import Predictions


@dg.asset(
    group_name="evaluation",
    partitions_def=CHECKPOINTS,
    code_version="1",
    deps=["finetuned_checkpoint"],
)
def checkpoint(context: AssetExecutionContext, settings: Settings) -> dg.MaterializeResult[None]:
    """One checkpoint folder, whatever made it: its weights' fingerprint, spec and labels.

    It stands between `finetuned_checkpoint` and the evaluation so that a new
    checkpoint makes no other checkpoint's evaluation stale.
    """
    folder = settings.checkpoints / context.partition_key
    card = read_card(folder)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(card.fingerprint),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "signal_spec": card.spec.to_json(),
            "label_vocabulary": card.vocabulary.to_json(),
        },
    )
