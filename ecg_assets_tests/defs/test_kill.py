"""A run killed in the middle, then run again, ends with the same files as an undisturbed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ecg_assets.lineage import fingerprint_file, fingerprint_folder


def _start(folder: Path, stage: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "ecg_assets_tests.defs.run_stage", str(folder), stage, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )


def _run(folder: Path, stage: str, *arguments: str) -> None:
    assert _start(folder, stage, *arguments).wait() == 0


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


def test_shards_are_completed_after_a_kill(tmp_path: Path) -> None:
    disturbed, calm = tmp_path / "disturbed", tmp_path / "calm"
    results = disturbed / "data" / "synthetic"
    process = _start(disturbed, "shards")
    _kill_when(process, (results / "mat_records" / "p1001").is_dir)
    assert not (results / "mat_records" / "p1003").exists()
    for path in results.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            assert path.stat().st_size > 0
    with dg.DagsterInstance.local_temp(str(disturbed / "home")) as instance:
        known = instance.get_materialized_partitions(dg.AssetKey("mat_records"))
    assert "p1000" in known
    assert "p1003" not in known
    _run(disturbed, "shards")
    _run(calm, "shards")
    for asset in ("signal_shards", "rejects", "mat_records"):
        after = disturbed / "data" / "synthetic" / asset
        assert fingerprint_folder(after) == fingerprint_folder(calm / "data" / "synthetic" / asset)
        assert not list(after.glob(".*"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look for processes")
def test_training_dies_with_its_run_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    _kill_and_resume_training(tmp_path)


@pytest.mark.reference
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to look for processes")
def test_fine_tuning_from_fairseq_signals_weights_resumes_to_the_same_weights(
    reference_data: Path, tmp_path: Path
) -> None:
    file = reference_data / "fairseq_golden" / "pretrained_tiny.pt"
    _kill_and_resume_training(tmp_path, str(file))


def _kill_and_resume_training(folder: Path, *pretrained: str) -> None:
    disturbed, calm = folder / "disturbed", folder / "calm"
    checkpoints = disturbed / "data" / "checkpoints"
    process = _start(disturbed, "training", *pretrained)
    _kill_when(
        process, lambda: any(checkpoints.glob(".training-*/**/checkpoint-*/trainer_state.json"))
    )
    deadline = time.monotonic() + 30
    while _processes_with(str(disturbed)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _processes_with(str(disturbed)) == []
    finished = "[!.]*/model.safetensors"
    assert not list(checkpoints.glob(finished))
    _run(disturbed, "training", *pretrained)
    _run(calm, "training", *pretrained)
    (weights,) = checkpoints.glob(finished)
    (expected,) = (calm / "data" / "checkpoints").glob(finished)
    assert weights.parent.name == expected.parent.name
    assert fingerprint_file(weights) == fingerprint_file(expected)
