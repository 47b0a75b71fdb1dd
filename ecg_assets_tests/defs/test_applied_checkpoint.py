"""The folders that users of a checkpoint get, of one whose classes exclude one another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import pytest

from ecg_assets.defs.partitions import CHECKPOINTS
from ecg_assets.labels.vocabulary import LabelVocabulary
from ecg_assets.models import load_trained
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.predictions import Predictions
from ecg_assets.models.probabilities import EXCLUSIVE
from ecg_assets.preprocess import signal_spec_of_kind
from ecg_assets_tests.defs.small_job import SmallJob
from ecg_assets_tests.models.golden_net1d import tiny_founder

NAME = "six"
CLASSES = LabelVocabulary(("c", "a", "b"), ("mean", "mean", "mean"))


def _predictions(n: int = 90) -> Predictions:
    random = np.random.default_rng(0)
    target = np.eye(3, dtype=np.uint8)[random.integers(0, 3, n)]
    target[0] = 0
    score = random.dirichlet((1, 1, 1), n)
    ids = np.array([f"secret_{i}" for i in range(n)])
    return Predictions(ids, ids, CLASSES, target, score.astype(np.float32))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallJob]:
    """A checkpoint from elsewhere: its validation scores stand with this source's results."""
    folder = tmp_path_factory.mktemp("applied")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        job = SmallJob.at(folder, instance)
        model = tiny_founder(n_labels=3)
        model.config.problem_type = EXCLUSIVE
        checkpoint = job.settings.store.checkpoints / NAME
        checkpoint.mkdir(parents=True)
        save_trained(checkpoint, model, signal_spec_of_kind("ecg-founder"), CLASSES)
        for asset in ("predictions", "validation_predictions"):
            path = job.settings.stored.folder(asset) / f"{NAME}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(_predictions().to_table(), path)
        instance.add_dynamic_partitions(str(CHECKPOINTS.name), [NAME])
        yield job


def test_results_of_exclusive_classes_are_files_and_metadata(job: SmallJob) -> None:
    job.materialize("classification_results", partition=NAME)
    shown = job.metadata("classification_results", NAME)
    assert (shown["records"], shown["records_left_out"]) == (89, 1)
    rows = [record.data for record in shown["performance"].records]
    assert [row["Condition"] for row in rows] == ["c", "a", "b", "Macro Avg", "Weighted Avg"]
    folder = Path(shown["folder"])
    details = json.loads((folder / "detailed_results.json").read_text())
    assert details["overall_accuracy"] == shown["accuracy"]
    assert details["class_names"] == list(CLASSES.names)
    assert "secret" not in str(shown)


def test_a_production_model_loads_and_has_thresholds_of_the_validation_split(
    job: SmallJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is in the file has tests of its own, and takes seconds.
    monkeypatch.setattr(
        "ecg_assets.models.onnx_export.export_onnx", lambda _, path: path.write_bytes(b"graph")
    )
    job.materialize("production_model", partition=NAME)
    shown = job.metadata("production_model", NAME)
    folder = job.settings.stored.folder("production_model") / NAME
    assert shown["files"] == sorted(path.name for path in folder.iterdir())
    assert {"model.onnx", "README.md", "thresholds.json"} <= set(shown["files"])
    assert set(shown["thresholds"]["thresholds"]) == set(CLASSES.names)
    assert load_trained(folder).vocabulary == CLASSES
    before = job.version("production_model", NAME)
    job.materialize(
        "production_model",
        partition=NAME,
        config={"production_model": {"config": {"rule": "max-f1", "onnx": False}}},
    )
    assert job.version("production_model", NAME) != before
    assert not (folder / "model.onnx").exists()
    assert "secret" not in str(shown)
