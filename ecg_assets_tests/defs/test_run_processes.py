"""Runs whose process was killed give their places back, and nothing of them lives on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import dagster as dg
import psutil
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from ecg_assets.defs.resources import Trainer
from ecg_assets.defs.run_processes import PROCESS_TAG, end_dead_runs, process_tags
from ecg_assets.defs.settings import Settings
from ecg_assets.defs.training_requests import run_training
from ecg_assets.training.engine.run import describe_resumption
from ecg_assets_tests.defs.postgres import POSTGRES
from ecg_assets_tests.training.finetune.toy_run import toy_request

INSTANCE = Path(__file__).resolve().parents[2] / "dagster_home" / "dagster.yaml"
DEFINITIONS = """
import os, pathlib, time
import dagster as dg
from ecg_assets.defs.jobs import choose_executor
from ecg_assets.defs.run_processes import ends_dead_runs
from ecg_assets.defs.settings import Settings

FOLDER = pathlib.Path(os.environ["FOLDER"])

@dg.asset(pool="gpu")
def training(settings: Settings) -> None:
    (FOLDER / "step").write_text(str(os.getpid()))
    while (FOLDER / "hang").exists():
        time.sleep(0.05)

settings = Settings(data_dir=str(FOLDER / "data"))
defs = dg.Definitions(
    [training], resources={"settings": settings}, executor=ends_dead_runs(choose_executor(settings))
)
"""


in_both_storages = pytest.mark.parametrize(
    "instance", ["sqlite", pytest.param("postgres", marks=POSTGRES)], indirect=True
)


@pytest.fixture
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The instance that people run, with its pools, in a folder of its own."""
    if getattr(request, "param", "sqlite") == "postgres":
        request.getfixturevalue("database")
    shutil.copy(INSTANCE, tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as found:
        yield found


def _stuck_run(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    """Leave a run as a killed process does: started, with its place in the pool."""
    job = dg.GraphDefinition(name="stuck").to_job()
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.event_log_storage.initialize_concurrency_limit_to_default("gpu")
    claimed = instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "training")
    assert claimed.is_claimed
    return run.run_id


def _tag(host: str, pid: int, started: float) -> dict[str, str]:
    return {PROCESS_TAG: json.dumps([host, pid, started])}


def _wait_for(arrived: Callable[[], bool], *, s: float = 60) -> None:
    deadline = time.monotonic() + s
    while not arrived():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _materialize(folder: Path, executor: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "dagster_dg_cli.cli", "launch"),
            *("--assets", "training", "-f", "d.py"),
        ],
        cwd=folder,
        env={
            **os.environ,
            "DAGSTER_HOME": str(folder),
            "FOLDER": str(folder),
            "ECG_EXECUTOR": executor,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _place_is_free(instance: dg.DagsterInstance) -> bool:
    return not instance.event_log_storage.get_concurrency_run_ids()


@in_both_storages
def test_a_run_whose_process_is_gone_is_ended_and_its_place_is_free(
    instance: dg.DagsterInstance,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        started = psutil.Process(process.pid).create_time()
    run_id = _stuck_run(instance, _tag(socket.gethostname(), process.pid, started))
    assert end_dead_runs(instance) == [run_id]
    run = instance.get_run_by_id(run_id)
    assert run is not None and run.status == dg.DagsterRunStatus.FAILURE
    assert _place_is_free(instance)
    assert end_dead_runs(instance) == []


def test_a_process_of_the_same_number_that_started_later_is_another_one(
    instance: dg.DagsterInstance,
) -> None:
    run_id = _stuck_run(instance, _tag(socket.gethostname(), os.getpid(), 0.0))
    assert end_dead_runs(instance) == [run_id]


@pytest.mark.parametrize(
    "tags",
    [process_tags(), _tag("another-host", 1, 0.0), {}, {PROCESS_TAG: "{"}],
    ids=["alive", "elsewhere", "says nothing", "unreadable"],
)
def test_other_runs_keep_their_place(instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    run_id = _stuck_run(instance, tags)
    assert end_dead_runs(instance) == []
    assert instance.event_log_storage.get_concurrency_run_ids() == {run_id}


@in_both_storages
def test_a_finished_run_gives_its_place_back(instance: dg.DagsterInstance) -> None:
    run_id = _stuck_run(instance, {})
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run)
    end_dead_runs(instance)
    assert _place_is_free(instance)


@pytest.mark.parametrize(
    ("instance", "executor"),
    [
        ("sqlite", "processes"),
        ("sqlite", "one-process"),
        pytest.param("postgres", "one-process", marks=POSTGRES),
    ],
    indirect=["instance"],
)
def test_a_killed_command_line_run_neither_blocks_the_next_nor_lives_on(
    instance: dg.DagsterInstance, tmp_path: Path, executor: str
) -> None:
    (tmp_path / "d.py").write_text(DEFINITIONS)
    (tmp_path / "hang").touch()
    killed = _materialize(tmp_path, executor)
    _wait_for((tmp_path / "step").exists)
    time.sleep(0.2)  # until the step's number is written
    step = int((tmp_path / "step").read_text())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    _wait_for(lambda: not psutil.pid_exists(step))
    (run,) = instance.get_runs()
    assert run.status == dg.DagsterRunStatus.STARTED
    (tmp_path / "hang").unlink()
    assert _materialize(tmp_path, executor).wait(timeout=120) == 0
    after = {one.run_id: one.status for one in instance.get_runs()}
    assert after.pop(run.run_id) == dg.DagsterRunStatus.FAILURE
    assert list(after.values()) == [dg.DagsterRunStatus.SUCCESS]


@pytest.mark.parametrize("ended", [KeyboardInterrupt, DagsterExecutionInterruptedError])
def test_a_cancelled_training_says_where_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: type[BaseException]
) -> None:
    def cancel(*_: object, **__: object) -> None:
        raise ended

    said: list[str] = []
    context = SimpleNamespace(log=SimpleNamespace(warning=said.append))
    monkeypatch.setattr(Trainer, "run", cancel)
    settings = Settings(data_dir=str(tmp_path))
    request = toy_request(tmp_path)
    with pytest.raises(ended):
        run_training(cast(dg.AssetExecutionContext, context), settings, Trainer(), request)
    assert said == [describe_resumption(request)]
