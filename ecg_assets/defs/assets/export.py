"""Exports of the stages preprocess and build: files for other programs.

All that Dagster knows of `ecg_assets.export` stands here, and nothing else imports that room.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dagster as dg
import pandas as pd
import pyarrow as pa
from dagster import AssetExecutionContext
from pydantic import Field

from ecg_assets.build import Manifest
from ecg_assets.defs.data_versions import give_partitions_their_versions
from ecg_assets.defs.input_facts import require_labels, require_source
from ecg_assets.defs.io_managers import FORMATS, Format
from ecg_assets.defs.partitions import SHARDS, shard_backfill_policy
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.streams import log_stored
from ecg_assets.defs.tables import MEASURES_LABELS
from ecg_assets.errors import EcgAssetsError, SettingsError
from ecg_assets.export.croissant import CROISSANT, NOT_STATED, Statement, write_croissant
from ecg_assets.export.fairseq_manifests import write_fairseq_manifest
from ecg_assets.export.lead1_pipeline import write_reference_files, write_reference_manifest
from ecg_assets.export.mat import MatForm, MatLayout, MatRows, export_mat_records
from ecg_assets.export.mat_listing import find_form, number_records
from ecg_assets.lineage import (
    fingerprint_bytes,
    fingerprint_file,
    fingerprint_folder,
    fingerprint_json,
    fingerprint_table,
)
from ecg_assets.preprocess import ShardDataset, SignalSpec, read_shard
from ecg_assets.sources import is_remote
from ecg_assets.sources.datasets import look_up_dataset

# Shards of one run as .mat files, made one by one as the IO manager writes them.


@dataclass(frozen=True)
class MatBatch:
    """What the IO manager needs to write one shard's .mat files."""

    signals: pa.Table
    spec: SignalSpec
    records: pd.DataFrame
    form: MatForm


class MatStream:
    """Iterates over (shard, batch) of the run's partitions; keeps each one's version."""

    def __init__(
        self,
        context: AssetExecutionContext,
        records: pd.DataFrame,
        shards: Mapping[str, Path],
        *,
        spec: SignalSpec,
        form: MatForm,
    ) -> None:
        missing = sorted(set(context.partition_keys) - set(shards))
        if missing:
            raise EcgAssetsError(
                f"{len(missing)} shards are not preprocessed yet, first {missing[0]}. "
                "Materialize signal_shards for them first."
            )
        self._context = context
        self._spec, self._form = spec, form
        self._shards = shards
        self._records = records[["record_id", "study_id", "shard", "row"]]
        self.versions: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, MatBatch]]:
        for number, (shard, path) in enumerate(sorted(self._shards.items()), start=1):
            signals = read_shard(path, leads=self._spec.leads)
            records = self._records[self._records["shard"] == shard].drop(columns="shard")
            version = fingerprint_bytes(
                fingerprint_table(signals).encode(),
                fingerprint_json(self._spec.to_json()).encode(),
                fingerprint_json(records.to_dict("list")).encode(),
                fingerprint_json(self._form.to_json()).encode(),
            )
            self._context.log.info(f"shard {number} of {len(self._shards)}: {shard}")
            yield shard, MatBatch(signals, self._spec, records, self._form)
            self.versions[shard] = version
            log_stored(self._context, shard, version, {"records": len(signals)})


def _write_mat_folder(batch: MatBatch, path: Path, asset: str) -> None:
    export_mat_records(batch.signals, batch.spec, batch.records, path, form=batch.form)


FORMATS["mat"] = Format("", _write_mat_folder, lambda paths, asset: paths, is_stream=True)
"""A folder ``mat_records/<shard>`` of .mat files."""


# The assets.


class MatConfig(dg.Config):
    """Which .mat files are written."""

    layout: MatLayout = Field(
        default="fairseq",
        description="Names and keys of .mat files and of the manifests that are made from them: "
        "fairseq-signals' own, or reference: the Lead-I pipeline's.",
    )
    compress: bool = Field(
        default=True, description="Compress them to about a thirtieth; the reference does not."
    )

    idx: MatRows = Field(
        default="record_list",
        description="What idx counts: rows of our record_list, sorted by shard, or dataset: rows "
        "of the dataset's own list, as fairseq-signals' scripts have it (record_list.csv of "
        "MIMIC-IV-ECG). For layout fairseq.",
    )

    def to_form(self, *, keep_flawed: bool) -> MatForm:
        """Give the form; the reference layout alone keeps missing samples."""
        keep_missing = keep_flawed and self.layout == "reference"
        try:
            return MatForm(self.layout, self.compress, keep_missing, self.idx)
        except ValueError as error:
            raise SettingsError(f"mat_records: {error}") from error


def _number_records(settings: Settings, record_list: pd.DataFrame, rows: MatRows) -> pd.DataFrame:
    """Give each record the row that idx is, of the one list or the other."""
    if rows == "record_list":
        return number_records(record_list)
    read = settings.dataset.read_list_rows
    if read is None:
        raise SettingsError(
            "idx is 'dataset' in the run configuration of mat_records, and "
            f"{settings.dataset.title} has no list whose rows could be counted. Leave it at "
            "'record_list'."
        )
    return number_records(record_list, read(settings.open_source()))


class WeightsConfig(dg.Config):
    """What the weights of the Lead-I pipeline's label files are computed from."""

    label_weights: Literal["train", "all"] = Field(
        default="train", description="Rows: train, or all as the Lead-I pipeline has them."
    )


@dg.asset(
    group_name="preprocess",
    partitions_def=SHARDS,
    backfill_policy=shard_backfill_policy(),
    io_manager_key="mat",
    code_version="2",
    kinds={"matlab"},
)
def mat_records(
    context: AssetExecutionContext,
    config: MatConfig,
    settings: Settings,
    record_list: pd.DataFrame,
    signal_shards: ShardDataset,
) -> Iterator[dg.Output[MatStream]]:
    """What fairseq-signals reads: one .mat file a segment, a single lead repeated to 12 rows.

    With the layout ``reference``, the Lead-I pipeline's files: whole recordings and segments.
    """
    require_source(settings, record_list)
    form = config.to_form(keep_flawed=settings.flawed_records == "keep")
    records = _number_records(settings, record_list, form.rows)
    stream = MatStream(context, records, signal_shards, spec=settings.signal_spec, form=form)
    yield dg.Output(stream)
    give_partitions_their_versions(context, stream.versions)


@dg.asset(group_name="build", code_version="1", kinds={"csv", "numpy"})
def computed_labels(
    config: WeightsConfig,
    settings: Settings,
    record_list: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
) -> dg.MaterializeResult[None]:
    """The label files of the Lead-I reference pipeline, by its names and formats."""
    vocabulary = require_labels(settings, labels)
    if vocabulary.is_continuous:
        version = dg.DataVersion(fingerprint_json(MEASURES_LABELS))
        return dg.MaterializeResult(data_version=version, metadata={"skipped": MEASURES_LABELS})
    folder = settings.stored.folder("computed_labels")
    counts = write_reference_files(
        labels,
        record_list,
        split,
        folder,
        vocabulary=vocabulary,
        weights_from=config.label_weights,
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "label_weights": config.label_weights,
            **counts,
        },
    )


@dg.asset(
    group_name="build",
    code_version="4",
    kinds={"csv", "numpy"},
)
def fairseq_manifests(
    config: WeightsConfig,
    settings: Settings,
    record_list: pd.DataFrame,
    machine_reports: pd.DataFrame,
    manifests: Manifest,
    mat_records: dict[str, Path],
) -> dg.MaterializeResult[None]:
    """The manifests that fairseq-signals trains from, for the shards exported as .mat.

    Of .mat files in the layout ``reference``, the files of the Lead-I pipeline's build step.
    """
    folder, mat_root = map(settings.stored.folder, ("fairseq_manifests", "mat_records"))
    form = find_form(mat_records)
    layout = form.layout
    if layout == "reference":
        counts = write_reference_manifest(
            manifests,
            record_list,
            mat_records,
            folder,
            mat_root=mat_root,
            weights_from=config.label_weights,
        )
    else:
        counts = write_fairseq_manifest(
            manifests,
            _number_records(settings, record_list, form.rows),
            machine_reports,
            mat_records,
            folder,
            mat_root=mat_root,
            raw_root=settings.raw_root if is_remote(settings.raw_root) else settings.source_root,
        )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_folder(folder)),
        metadata={
            "folder": dg.MetadataValue.path(folder),
            "layout": layout,
            "idx": form.rows,
            "label_weights": config.label_weights if layout == "reference" else "none are written",
            "segments": counts,
        },
    )


class CroissantConfig(dg.Config):
    """What only the owner of a dataset can say of it."""

    license: str = Field(default=NOT_STATED, description="Name or URL of the data's licence.")
    url: str = Field(default="", description="Page of the dataset; empty: left out.")
    cite_as: str = Field(default="", description="How to cite it.")
    creator: str = Field(default="", description="Who made it.")
    date_published: str = Field(default="", description="When, e.g. 2024-03-01.")


@dg.asset(
    group_name="build",
    code_version="1",
    kinds={"json"},
    deps=["record_list", "labels", "split", "signal_shards", "eval_metrics"],
)
def croissant(config: CroissantConfig, settings: Settings) -> dg.MaterializeResult[None]:
    """What is stored of the source, in Croissant: files with hashes, columns with meanings.

    ``croissant.json`` stands beside the tables, for data catalogues and loaders. It holds
    no row of a table; what is not stored is left out.
    """
    known = look_up_dataset(settings.source)
    title = known.title if known else settings.source
    described = write_croissant(settings.stored, title, Statement(**config.model_dump()))
    path = settings.stored.folder(CROISSANT)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(fingerprint_file(path)),
        metadata={
            "path": dg.MetadataValue.path(path),
            "license": described["license"],
            "record_sets": [one["name"] for one in described["recordSet"]],
            "files": sum(one["@type"] == "cr:FileObject" for one in described["distribution"]),
        },
    )
