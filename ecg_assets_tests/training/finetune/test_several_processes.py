"""Training in two processes, as on two GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from ecg_assets_tests.training.finetune import toy_run

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def _train_in_two(folder: Path) -> None:
    """Train in processes of their own on a CPU, whatever GPUs there are."""
    module = ["-m", "ecg_assets_tests.training.finetune.toy_run", str(folder)]
    done = subprocess.run(
        [sys.executable, *LAUNCHER, *module],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_train_as_one_the_same_checkpoint(tmp_path: Path) -> None:
    """In each epoch's last step the second one has no segment of its own."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder, train in zip(folders, (toy_run.main, _train_in_two), strict=True):
        folder.mkdir()
        train(folder)
    one, two = (next((folder / "checkpoints").iterdir()) for folder in folders)
    assert one.name == two.name
    expected = load_file(one / "model.safetensors")
    for name, value in load_file(two / "model.safetensors").items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=2e-4, msg=name)
    columns = ["train_loss", "valid_loss"]
    losses = [pd.read_csv(folder / "history.csv")[columns].to_numpy() for folder in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0, atol=1e-4)
    assert json.loads((two / "run.json").read_text())["machine"]["n_processes"] == 2
    first, second = (
        json.loads((tmp_path / "two" / f"events-{rank}.json").read_text()) for rank in (0, 1)
    )
    assert [event["event"] for event in first] == ["start", "epoch", "epoch", "finished"]
    assert second == []
