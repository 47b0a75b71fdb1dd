"""A run killed in the middle, then run again, ends with the same files as an undisturbed one."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ecg_assets.lineage import fingerprint_file, fingerprint_folder
from ecg_assets_tests.defs.small_job import SmallJob


def _start(folder: Path, stage: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ecg_assets_tests.defs.run_stage", str(folder), stage],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _run(folder: Path, stage: str) -> None:
    assert _start(folder, stage).wait() == 0


def _kill_when(process: subprocess.Popen[bytes], arrived: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not arrived():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _processes_with(text: str) -> list[int]:
    """Processes whose command line holds a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in command:
                found.append(int(entry.name))
    return found


def test_shards_are_completed_after_a_kill(tmp_path: Path, finished: SmallJob) -> None:
    disturbed = tmp_path / "disturbed"
    results = disturbed / "data" / "synthetic"
    process = _start(disturbed, "shards")
    _kill_when(process, (results / "mat_records" / "p1001").is_dir)
    assert not (results / "mat_records" / "p1003").exists()
    for path in results.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert path.stat().st_size > 0
    with dg.DagsterInstance.local_temp(str(disturbed)) as instance:
        known = instance.get_materialized_partitions(dg.AssetKey("mat_records"))
    assert "p1000" in known
    assert "p1003" not in known
    _run(disturbed, "shards")
    for asset in ("signal_shards", "rejects", "mat_records"):
        after, calm = results / asset, finished.settings.stored.folder(asset)
        assert fingerprint_folder(after) == fingerprint_folder(calm)
        assert not list(after.glob(".*"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look for processes")
def test_training_dies_with_its_run_and_resumes_to_the_same_weights(
    tmp_path: Path, finished: SmallJob
) -> None:
    shutil.copytree(finished.settings.data_path.parent, tmp_path, dirs_exist_ok=True)
    checkpoints = tmp_path / "data" / "checkpoints"
    shutil.rmtree(checkpoints)
    process = _start(tmp_path, "training")
    _kill_when(
        process, lambda: any(checkpoints.glob(".training-*/**/checkpoint-*/trainer_state.json"))
    )
    deadline = time.monotonic() + 30
    while _processes_with(str(tmp_path)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _processes_with(str(tmp_path)) == []
    (name,) = finished.checkpoints
    assert not (checkpoints / name).exists()
    _run(tmp_path, "training")
    undisturbed = finished.settings.store.checkpoints / name
    for file in ("model.safetensors", "validation_predictions.parquet"):
        assert fingerprint_file(checkpoints / name / file) == fingerprint_file(undisturbed / file)
