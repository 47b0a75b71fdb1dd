"""Training in two processes, as on two GPUs, from the asset with another launcher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ecg_assets.defs.resources import Trainer
from ecg_assets_tests.defs.small_job import SmallJob

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def test_the_asset_trains_in_two_processes_and_one_of_them_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: SmallJob
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with finished.copied_to(tmp_path / "home") as copy:
        job = replace(copy, trainer=Trainer(launcher=LAUNCHER))
        folder = job.settings.store.checkpoints
        known = {path.name for path in folder.iterdir()}
        job.train(epochs=1)
        metadata = job.metadata("finetuned_checkpoint")
    assert metadata["run"]["machine"]["n_processes"] == 2
    assert {path.name for path in folder.iterdir()} - known == {metadata["checkpoint_id"]}
