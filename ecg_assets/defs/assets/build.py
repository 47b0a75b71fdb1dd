"""Stage build: what training reads, natively and for fairseq-signals."""

from pathlib import Path

import dagster as dg
import pandas as pd
from dagster import AssetExecutionContext

from ecg_assets.build import (
    Manifest,
    build_manifest,
    fingerprint_manifest,
    label_definition,
    write_fairseq_manifest,
    write_reference_manifest,
)
from ecg_assets.defs.conditions import MANIFESTS_ARE_BEHIND
from ecg_assets.defs.database_view import describe_databases
from ecg_assets.defs.partitions import SHARDS
from ecg_assets.defs.resources import Settings
from ecg_assets.defs.tables import table_metadata
from ecg_assets.labels import write_reference_files
from ecg_assets.lineage import fingerprint_folder
from ecg_assets.preprocess import ShardDataset
from ecg_assets.sources import is_remote


@dg.asset(group_name="build", code_version="1", kinds={"csv", "numpy"})
def computed_labels(
    settings: Settings, record_list: pd.DataFrame, labels: pd.DataFrame, split: pd.DataFrame
) -> dg.MaterializeResult[None]:
    """The label files of the Lead-I reference pipeline, by its names and formats."""
    folder = settings.folder("computed_labels")
    counts = write_reference_files(
        labels,
        record_list,
        split,
        folder,
        vocabulary=settings.load_label_set().vocabulary,
        weights_from=settings.label_weights,
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={"folder": dg.MetadataValue.path(folder), **counts},
    )


@dg.asset(
    group_name="build",
    io_manager_key="manifest",
    code_version="1",
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
    manifest = build_manifest(
        record_list,
        labels,
        split,
        signal_shards,
        spec=settings.signal_spec,
        vocabulary=settings.load_label_set().vocabulary,
        quality=settings.quality_policy,
        train_limit=settings.train_limit,
    )
    excluded = manifest.excluded.groupby("reason").size().rename("records").reset_index()
    return dg.MaterializeResult(
        value=manifest,
        data_version=dg.DataVersion(fingerprint_manifest(manifest)),
        metadata={
            "records": len(manifest.index),
            "excluded": table_metadata(excluded),
            "max_per_condition": settings.max_per_condition,
            **describe_databases(manifest, record_list, settings),
            "shards_used": len(signal_shards),
            "shards_registered": len(context.instance.get_dynamic_partitions(str(SHARDS.name))),
            "label_definition": table_metadata(label_definition(manifest)),
            "signal_spec": settings.signal_spec.to_json(),
            "label_vocabulary": manifest.vocabulary.to_json(),
        },
    )


@dg.asset(
    group_name="build",
    code_version="2",
    kinds={"csv", "numpy"},
)
def fairseq_manifests(
    settings: Settings, record_list: pd.DataFrame, manifests: Manifest, mat_records: dict[str, Path]
) -> dg.MaterializeResult[None]:
    """The manifests that fairseq-signals trains from, for the shards exported as .mat.

    With the layout ``reference``, the files of the Lead-I pipeline's build step.
    """
    folder, mat_root = settings.folder("fairseq_manifests"), settings.folder("mat_records")
    if settings.mat_layout == "reference":
        counts = write_reference_manifest(
            manifests,
            record_list,
            mat_records,
            folder,
            mat_root=mat_root,
            weights_from=settings.label_weights,
        )
    else:
        counts = write_fairseq_manifest(
            manifests,
            record_list,
            mat_records,
            folder,
            mat_root=mat_root,
            raw_root=settings.raw_root if is_remote(settings.raw_root) else settings.source_root,
        )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={"folder": dg.MetadataValue.path(folder), "segments": counts},
    )
