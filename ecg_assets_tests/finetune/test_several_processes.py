"""Training in two processes, as on two GPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def _train(folder: Path, batch_size: int, launcher: list[str]) -> Path:
    """Train in processes of their own; give the checkpoint's folder."""
    folder.mkdir()
    module = ["-m", "ecg_assets_tests.finetune.toy_run", str(folder), str(batch_size)]
    done = subprocess.run(
        [sys.executable, *launcher, *module],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (checkpoint,) = (folder / "checkpoints").iterdir()
    return checkpoint


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    one = _train(tmp_path / "one", 16, [])
    two = _train(tmp_path / "two", 8, LAUNCHER)
    expected = load_file(one / "model.safetensors")
    for name, value in load_file(two / "model.safetensors").items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=2e-4, msg=name)
    losses = [pd.read_csv(folder / "history.csv")["valid_loss"].tolist() for folder in (one, two)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert json.loads((two / "run.json").read_text())["machine"]["n_processes"] == 2
    first, second = (
        json.loads((tmp_path / "two" / f"events-{rank}.json").read_text()) for rank in (0, 1)
    )
    assert [event["event"] for event in first] == ["start", "epoch", "epoch", "finished"]
    assert second == []
