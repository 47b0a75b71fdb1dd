"""Folders of conditions through the graph: one label each, a limit, databases, several labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ecg_assets.defs.checks.data import no_label_is_of_one_database
from ecg_assets_tests.defs.small_job import TABLES, SmallJob
from ecg_assets_tests.models.toy_recordings import toy_manifest
from ecg_assets_tests.sources.condition_recordings import (
    MIMIC_LEADS,
    write_condition_recording,
)

SIX = ["NORM", "AFIB", "AFLT", "1dAVb", "RBBB", "LBBB"]
N_MIMIC = {"NORMAL": 12, "Atrial Fibrillation": 9, "1st-degree AV block": 6}
N_PHYSIONET = {
    "Sinus_Rhythm": 4,
    "1st Degree AV Block": 4,
    "Atrial Flutter": 8,
    "Right bundle branch block": 4,
    "Left bundle branch block": 4,
}


def _write(root: Path) -> None:
    number = 0
    for folder, n in N_MIMIC.items():
        for _ in range(n):
            number += 1
            comment = (f"subject_id: {10000000 + number // 2}",)
            name = str(40000000 + number)
            write_condition_recording(
                root, folder, name, seed=number, leads=MIMIC_LEADS, comments=comment
            )
    for folder, n in N_PHYSIONET.items():
        for _ in range(n):
            number += 1
            write_condition_recording(root, folder, f"E{number:05d}", seed=number)
    # The same recording in two folders.
    for folder in ("Atrial Fibrillation", "Left bundle branch block"):
        write_condition_recording(root, folder, "E99999", seed=0)


def test_folders_become_a_manifest_of_six_conditions(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    _write(root)
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(
            tmp_path,
            instance,
            source="condition-folders",
            raw_root=str(root),
            label_set="six-conditions",
            max_per_condition="3",
            leads=["I", "aVF", "aVL"],
            stored_leads=["I", "aVF", "aVL"],
        )
        job.materialize(*TABLES)
        assert "Atrial_Flutter" in job.shards
        job.materialize("signal_shards", shards=job.shards)
        result = job.materialize("manifests")
        records, manifests = job.metadata("record_list"), job.metadata("manifests")
        folder = job.settings.stored.root
    assert records["records_of_several_conditions"] == 1
    assert records["records_without_patient"] == sum(N_PHYSIONET.values()) + 1
    index = pq.read_table(folder / "manifests" / "index.parquet").to_pandas()
    targets = np.load(folder / "manifests" / "y.npy")
    several = targets[index["record_id"] == "E99999"]
    assert all(row.tolist() == [0, 1, 0, 0, 0, 1] for row in several)
    assert index.groupby("subject_id")["split"].nunique().max() == 1
    excluded = pd.read_parquet(folder / "manifests" / "excluded.parquet")
    assert set(excluded["reason"]) == {"over_limit"}
    assert len(index) + len(excluded) == sum((*N_MIMIC.values(), *N_PHYSIONET.values())) + 1
    in_train = targets[index["split"] == "train"]
    assert in_train[in_train.sum(axis=1) == 1].sum(axis=0).max() <= 3
    assert manifests["max_per_condition"] == "3"
    assert manifests["databases"] == ["georgia", "mimic-iv-ecg"]
    checks = {e.check_name: e for e in result.get_asset_check_evaluations()}
    check = checks["no_label_is_of_one_database"]
    table = check.metadata["confounded_labels"]
    assert isinstance(table, dg.TableMetadataValue)
    # All of some labels are of one database, but too few to say so.
    assert check.passed
    assert table.records == []
    counts = pd.read_csv(folder / "manifests_pictures" / "prevalence_by_database.csv")
    assert counts["label"].unique().tolist() == SIX
    assert counts["positives"].sum() == targets.sum()


def test_a_label_whose_positives_are_of_one_database_is_warned_of() -> None:
    """Of two labels with 20 positives one is of Ningbo alone."""
    names = [*(f"JS{20001 + i}" for i in range(30)), *(f"E{10001 + i}" for i in range(30))]
    records = pd.DataFrame({"record_id": names, "source": "condition-folders", "path": names})
    manifest = toy_manifest(60)
    targets = np.zeros((60, 2), np.uint8)
    targets[:20, 0] = 1
    targets[20:40, 1] = 1
    index = manifest.index.assign(record_id=names)
    found = no_label_is_of_one_database(
        manifests=replace(manifest, index=index, targets=targets), record_list=records
    )
    assert isinstance(found, dg.AssetCheckResult)
    table = found.metadata["confounded_labels"]
    assert isinstance(table, dg.TableMetadataValue)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert [(row.data["label"], row.data["database"]) for row in table.records] == [
        ("fast", "ningbo")
    ]
