"""Training in two processes, as on two GPUs, from the asset with another launcher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.resources import Trainer
from ecg_assets_tests.defs.small_job import TABLES, SmallJob

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


class TwoProcesses(SmallJob):
    """The small job, trained by torch.distributed.run."""

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions({"settings": self.settings, "trainer": Trainer(launcher=LAUNCHER)})


def test_the_asset_trains_in_two_processes_and_one_of_them_writes(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "home").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "home")) as instance:
        job = TwoProcesses.at(tmp_path, instance)
        job.materialize(*TABLES)
        job.materialize("signal_shards", shards=job.shards)
        job.materialize("computed_labels", "manifests")
        job.train(epochs=1)
        metadata = job.metadata("finetuned_checkpoint")
    assert metadata["run"]["machine"]["n_processes"] == 2
    folders = list((tmp_path / "data" / "checkpoints").iterdir())
    assert [folder.name for folder in folders] == [metadata["checkpoint_id"]]
