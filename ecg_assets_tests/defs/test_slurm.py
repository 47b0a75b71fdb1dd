"""A real Slurm: what computes is its job, ends with its run, and goes on where it was ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ecg_assets.defs.resources import Trainer
from ecg_assets.errors import EcgAssetsError
from ecg_assets.lineage import fingerprint_file
from ecg_assets_tests.defs.launched import run_double
from ecg_assets_tests.defs.slurm import cancel_all, find_obstacle, jobs_of, slurm, wait_for
from ecg_assets_tests.defs.small_job import SmallJob

SRUN = ["srun", "--gres=gpu:1", "--ntasks=1"]
pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle()),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    with slurm() as environment:
        yield environment


@pytest.fixture
def found(cluster: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The cluster, as this process finds it."""
    for name, value in cluster.items():
        monkeypatch.setenv(name, value)
    return cluster


def test_a_training_that_its_cluster_ended_goes_on_and_its_scores_are_the_same(
    tmp_path: Path,
    found: dict[str, str],
    finished: SmallJob,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with finished.copied_to(tmp_path) as copy:
        job = replace(copy, trainer=Trainer(launch=SRUN, late_s=1))
        checkpoints = job.settings.store.checkpoints

        def end_after_an_epoch() -> None:
            wait_for(lambda: any(checkpoints.glob(".training-*/**/trainer_state.json")))
            cancel_all(found)

        ender = threading.Thread(target=end_after_an_epoch)
        ender.start()
        with pytest.raises(EcgAssetsError, match=r"srun: .*\n.*Run the asset again"):
            job.train(epochs=12)
        ender.join()
        assert [one.name for one in checkpoints.glob("[!.]*")] == finished.checkpoints
        job.train(epochs=12)
        scores = job.settings.stored.folder("predictions") / f"{finished.checkpoints[0]}.parquet"
        scores.unlink()
        job.materialize("predictions", partition=finished.checkpoints[0])
    said = re.findall(r"^start: .* epochs_already_trained (\d+)", capfd.readouterr().err, re.M)
    first, second = map(int, said)
    assert first == 0 < second
    before = finished.settings.data_path / scores.relative_to(job.settings.data_path)
    assert fingerprint_file(scores) == fingerprint_file(before)
    wait_for(lambda: jobs_of(found) == [])


@pytest.mark.parametrize(
    ("ending", "option"),
    [(signal.SIGTERM, ""), (signal.SIGTERM, "--begin=now+1hour"), (signal.SIGKILL, "")],
    ids=["running", "queued", "killed"],
)
def test_a_job_ends_with_its_run(
    tmp_path: Path, found: dict[str, str], ending: signal.Signals, option: str
) -> None:
    launch = " ".join([*SRUN, option])
    process = subprocess.Popen(
        [sys.executable, "-m", "ecg_assets_tests.defs.launched", str(tmp_path), "0"],
        env={**os.environ, "ECG_LAUNCH": launch},
    )
    wait_for(lambda: jobs_of(found) == ["PENDING" if option else "RUNNING"])
    process.send_signal(ending)
    assert process.wait(60) != 0
    wait_for(lambda: jobs_of(found) == [])


def test_what_slurm_refuses_is_said(tmp_path: Path, found: dict[str, str]) -> None:
    asked = Trainer(launch=["srun", "--gres=gpu:5"], late_s=1)
    with pytest.raises(EcgAssetsError, match=r"^srun: error: .* not available\n.* status 1;"):
        run_double(tmp_path, asked)


def test_several_tasks_are_refused(tmp_path: Path, found: dict[str, str]) -> None:
    with pytest.raises(EcgAssetsError, match=r"starts 2 tasks.*--ntasks=1"):
        run_double(tmp_path, Trainer(launch=["srun", "--ntasks=2"], late_s=1))
