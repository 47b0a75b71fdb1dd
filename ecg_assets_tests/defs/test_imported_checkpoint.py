"""A checkpoint that was not trained here is evaluated like any other, and honestly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow.parquet as pq
import torch

from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.models.checkpoint import save_trained
from ecg_assets.models.ecg_fm.config import ecg_fm_config
from ecg_assets.models.ecg_fm.model import EcgFmForClassification
from ecg_assets_tests.defs.small_job import SmallJob


def test_thresholds_come_from_validation_and_numbers_from_test(
    tmp_path: Path, finished: SmallJob
) -> None:
    for name in ("manifests", "signal_shards"):
        shutil.copytree(
            finished.settings.stored.folder(name), tmp_path / "data" / "synthetic" / name
        )
    folder = tmp_path / "data" / "checkpoints" / "imported"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    config = ecg_fm_config("tiny", n_channels=1, n_labels=len(ECG_FM_LABELS))
    model = EcgFmForClassification(config)
    save_trained(folder, model, finished.settings.signal_spec, ECG_FM_LABELS)
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        job = SmallJob.at(tmp_path, instance)
        instance.add_dynamic_partitions("checkpoint", ["imported"])
        job.materialize("checkpoint", "predictions", "eval_metrics", partition="imported")
    results = job.settings.stored.root
    index = pq.read_table(results / "manifests" / "index.parquet").to_pandas()
    of_split = index.groupby("split")["record_id"].agg(set)
    scored = pq.read_table(results / "predictions" / "imported.parquet")["record_id"]
    validated = pq.read_table(results / "validation_predictions" / "imported.parquet")["record_id"]
    assert set(scored.to_pylist()) == of_split["test"]
    assert set(validated.to_pylist()) == of_split["valid"]
    metrics = json.loads((results / "eval_metrics" / "imported.json").read_text())
    assert (metrics["evaluation_set"]["part"], metrics["relation"]) == ("test", "unknown")
    assert np.isfinite([row["threshold"] for row in metrics["labels"] if row["threshold"]]).any()
