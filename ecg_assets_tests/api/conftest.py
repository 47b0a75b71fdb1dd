"""A synthetic cohort, stored as a deployment stores it, and checkpoints of random weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import ecg_assets
from ecg_assets.build import Manifest, build_manifest
from ecg_assets.labels import ECG_FM_LABEL_SET, label_records
from ecg_assets.labels.label_tables import LABELS
from ecg_assets.made_with import known_facts, with_facts, write_facts
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.checkpoint_folder import RUN, VALIDATION_PREDICTIONS
from ecg_assets.models.predictions import ValidationPredictions
from ecg_assets.models.seen_patients import FINE_TUNING, SeenPatients
from ecg_assets.preprocess import preprocess_shard, signal_spec_of_kind, write_shard
from ecg_assets.sources.schema import MACHINE_REPORTS, RECORD_LIST
from ecg_assets.split import SPLIT, SplitShares, split_by_patient
from ecg_assets.store import SourceStore, Store
from ecg_assets.tables import TableSchema
from ecg_assets.training.finetune.presets import PRESETS
from ecg_assets.training.finetune.starting_model import random_model

LEADS = ("I", "II", "V2")


@dataclass(frozen=True)
class Cohort:
    """The source, its results, and where checkpoints stand."""

    source: ecg_assets.OpenedSource
    stored: SourceStore
    manifest: Manifest

    @property
    def data_dir(self) -> Path:
        return self.stored.store.root

    def checkpoint(self, name: str, *, seed: int = 0, is_trained: bool = True) -> Path:
        """Write random weights, once, with what a training here says beside them."""
        folder = self.stored.store.checkpoints / name
        if folder.is_dir():
            return folder
        folder.mkdir(parents=True)
        model = _random(seed, self.manifest)
        save_trained(folder, model, self.manifest.spec, self.manifest.vocabulary)
        if is_trained:
            facts = {"trained_on": dict(self.manifest.made_with)}
            (folder / RUN).write_text(json.dumps(facts), encoding="utf-8")
            rows = self.manifest.rows("valid")
            score = np.random.default_rng(seed).random((len(rows), 17)).astype(np.float32)
            validation = ValidationPredictions.of_rows(self.manifest, rows, score)
            pq.write_table(validation.to_table(), folder / VALIDATION_PREDICTIONS)
            seen = SeenPatients.of_training(name, FINE_TUNING, self.manifest, start=None)
            seen.write(folder)
        return folder

    def patients(self, split: str) -> set[str]:
        """Patients of a split of the manifest."""
        index = self.manifest.index
        return set(index.loc[index["split"] == split, "subject_id"])


def _random(seed: int, manifest: Manifest) -> Any:
    import torch

    torch.manual_seed(seed)
    return random_model(PRESETS["tiny"], manifest.spec, manifest.vocabulary).eval()


def _store(stored: SourceStore, schema: TableSchema, frame: pd.DataFrame) -> None:
    table = schema.from_pandas(frame)
    path = stored.table_path(schema.name)
    pq.write_table(table.cast(write_facts(table.schema, known_facts(frame))), path)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohort")
    source = ecg_assets.open_source("synthetic", folder / "raw", n_records=200)
    stored = Store(folder / "data").source("synthetic")
    stored.root.mkdir(parents=True)
    for shard, records in source.records.groupby("shard"):
        with_facts(records, known_facts(source.records))
        tables = preprocess_shard(records, source.root, LEADS)
        name = f"{shard}.parquet"
        write_shard(tables, stored.shards / name, stored.folder("rejects") / name)
    labels = label_records(source.reports, label_set=ECG_FM_LABEL_SET).labels
    split = split_by_patient(source.records, seed=0, shares=SplitShares(valid=0.2, test=0.5))
    for schema, frame in (
        (RECORD_LIST, source.records),
        (MACHINE_REPORTS, source.reports),
        (LABELS, labels),
        (SPLIT, split),
    ):
        _store(stored, schema, frame)
    manifest = build_manifest(
        source.records,
        labels,
        split,
        stored.shards,
        spec=signal_spec_of_kind("ecg-fm", leads=("II",)),
        vocabulary=ECG_FM_LABEL_SET.vocabulary,
    )
    return Cohort(source, stored, manifest)


def good_records(cohort: Cohort, n: int) -> list[str]:
    """Names of recordings that can be used."""
    return [str(name) for name in cohort.manifest.index["record_id"].iloc[:n]]
