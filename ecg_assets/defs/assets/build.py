"""Stage build: what training reads."""

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.build import (
    Manifest,
    build_manifest,
    count_cut,
    fingerprint_manifest,
    label_definition,
)
from ecg_assets.defs.conditions import MANIFESTS_ARE_BEHIND
from ecg_assets.defs.input_facts import require_labels, require_source, require_split
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.show import describe_databases, describe_shards
from ecg_assets.defs.tables import table_metadata
from ecg_assets.made_with import plain_facts
from ecg_assets.preprocess import ShardDataset


@dg.asset(
    group_name="build",
    io_manager_key="manifest",
    code_version="3",
    kinds={"parquet", "numpy"},
    automation_condition=MANIFESTS_ARE_BEHIND,
)
def manifests(
    context: AssetExecutionContext,
    settings: Settings,
    record_list: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
    signal_shards: ShardDataset,
) -> dg.MaterializeResult[Manifest]:
    """Index of all usable records with split, targets and class weights from train alone.

    It takes the shards that are stored: a partial mirror of the dataset is usable.
    """
    require_source(settings, record_list)
    require_split(settings, split)
    manifest = build_manifest(
        record_list,
        labels,
        split,
        signal_shards,
        spec=settings.signal_spec,
        vocabulary=require_labels(settings, labels),
        quality=settings.quality_policy,
        train_limit=settings.train_limit,
    )
    shards = describe_shards(record_list, signal_shards)
    if shards["shards_not_preprocessed"]:
        context.log.warning(
            f"Made from {shards['shards_used']} shards: the others are not preprocessed. "
            "Materialize signal_shards for them, then manifests again."
        )
    return dg.MaterializeResult(
        value=manifest,
        data_version=dg.DataVersion(fingerprint_manifest(manifest)),
        metadata={
            "records": len(manifest.index),
            **shards,
            "excluded": table_metadata(manifest.count_excluded()),
            "used_of_a_recording": manifest.spec.describe_part(),
            "records_longer": count_cut(signal_shards, manifest.spec, manifest.index),
            "unlabelled": len(manifest.unlabelled),
            "max_per_condition": settings.max_per_condition,
            **describe_databases(manifest, record_list, settings),
            "label_definition": table_metadata(label_definition(manifest)),
            "made_with": plain_facts(manifest.made_with),
            "signal_spec": manifest.spec.to_json(),
            "label_vocabulary": manifest.vocabulary.to_json(),
        },
    )
