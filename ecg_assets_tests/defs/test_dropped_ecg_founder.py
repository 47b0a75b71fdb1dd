"""ECGFounder's file for one lead is dropped, imported and evaluated; the one for twelve is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ecg_assets.errors import SpecMismatch
from ecg_assets.labels import load_label_set
from ecg_assets.preprocess import signal_spec_of_kind
from ecg_assets_tests.defs.small_job import SmallJob
from ecg_assets_tests.models.golden_net1d import tiny_founder, write_founder

TABLES = ("record_list.parquet", "machine_reports.parquet", "split.parquet")


@pytest.fixture(scope="module")
def job(finished: SmallJob, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallJob]:
    """Lead I as ECGFounder reads it, with the labels of the six conditions."""
    folder = tmp_path_factory.mktemp("one-lead")
    results = folder / "data" / "synthetic"
    shards = finished.settings.stored.folder("signal_shards")
    shutil.copytree(shards, results / "signal_shards")
    for table in TABLES:
        shutil.copy(finished.settings.stored.folder(table), results / table)
    with dg.DagsterInstance.ephemeral() as instance:
        six = {"label_set": "six-conditions", "signal_kind": "ecg-founder", "leads": ["I"]}
        job = SmallJob.at(folder, instance, **six)
        instance.add_dynamic_partitions("shard", finished.shards)
        job.materialize("labels", "label_evidence", "unmatched_statements", "manifests")
        yield job


def _drop(job: SmallJob, name: str, n_channels: int) -> str:
    """Put a file of 150 outputs, as ECGFounder's authors publish them, into the folder."""
    job.settings.store.checkpoints.mkdir(parents=True, exist_ok=True)
    model = tiny_founder(n_channels, n_labels=150)
    write_founder(job.settings.store.checkpoints / f"{name}.pth", model)
    job.instance.add_dynamic_partitions("checkpoint", [name])
    return name


def test_one_lead_file_is_evaluated_on_lead_i(job: SmallJob) -> None:
    name = _drop(job, "1_lead_ECGFounder", n_channels=1)
    job.materialize("checkpoint", "predictions", "eval_metrics", partition=name)
    folder = job.settings.store.checkpoints / name
    spec = json.loads((folder / "signal_spec.json").read_text())
    assert spec == signal_spec_of_kind("ecg-founder", leads=("I",)).to_json()
    conditions = load_label_set("six-conditions").vocabulary.names
    kept = json.loads((folder / "import_report.json").read_text())["outputs"]
    assert kept["LBBB"] == "LEFT BUNDLE BRANCH BLOCK"
    assert tuple(kept) == conditions
    scores = pq.read_table(job.settings.stored.folder("predictions") / f"{name}.parquet")
    index = pq.read_table(job.settings.stored.folder("manifests") / "index.parquet").to_pandas()
    expected = index.loc[index["split"] == "test", "record_id"]
    assert set(scores["record_id"].to_pylist()) == set(expected)
    result = json.loads((job.settings.stored.folder("eval_metrics") / f"{name}.json").read_text())
    auroc = {row["label"]: row["auroc"] for row in result["labels"]}
    assert tuple(auroc) == conditions
    assert 0 <= auroc["AFIB"] <= 1


def test_twelve_lead_file_beside_one_lead_manifests_says_what_to_set(job: SmallJob) -> None:
    name = _drop(job, "12_lead_ECGFounder", n_channels=12)
    with pytest.raises(SpecMismatch, match=r"differ in leads \(ECG_LEADS\), n_channels\. Build"):
        job.materialize("checkpoint", "predictions", partition=name)
