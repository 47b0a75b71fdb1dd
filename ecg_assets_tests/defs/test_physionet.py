"""The same graph on real recordings, with a checkpoint trained on the synthetic cohort."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ecg_assets_tests.defs.small_job import SmallJob


@pytest.mark.reference
def test_real_recordings_run_through_the_graph(
    finished: SmallJob, reference_data: Path, tmp_path: Path
) -> None:
    name = finished.checkpoints[0]
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(
            tmp_path,
            instance,
            source="physionet-2021",
            raw_root=str(reference_data / "real_ecg" / "physionet2021"),
        )
        job.run_to_manifests()
        assert job.shards == ["georgia", "ningbo", "ptb-xl"]
        shutil.copytree(
            finished.settings.store.checkpoints / name, job.settings.store.checkpoints / name
        )
        instance.add_dynamic_partitions("checkpoint", [name])
        job.evaluate(name)
        folder = job.settings.stored.root
        assert pq.read_table(folder / "manifests" / "index.parquet").num_rows == 25
        evidence = pq.read_table(folder / "label_evidence.parquet").to_pandas()
        assert set(evidence["rule"]) == {"snomed-ct code"}
        result = json.loads((folder / "eval_metrics" / f"{name}.json").read_text())
        assert (result["evaluation_set"]["part"], result["relation"]) == ("all", "external")
        assert result["n_records"] == 25
        assert result["undefined"]
        assert result["macro"]["auroc"] is not None
