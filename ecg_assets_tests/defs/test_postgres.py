"""A real PostgreSQL: every process of an instance comes to it by one setting, and it holds."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from ecg_assets.defs.freshness import assets_to_run
from ecg_assets.defs.instance import MARKER, open_instance, sole_daemon
from ecg_assets.errors import SettingsError
from ecg_assets_tests.defs.postgres import PASSWORD, POSTGRES, QUOTED, Server, find_programs
from ecg_assets_tests.defs.sessions import ending_session, free_port
from ecg_assets_tests.defs.small_job import TABLES, SmallJob

pytestmark = POSTGRES
ROOT = Path(__file__).resolve().parents[2]
DAGSTER_YAML = ROOT / "dagster_home" / "dagster.yaml"
DEFINITIONS = """
import json, os, pathlib, time
import dagster as dg
from ecg_assets.defs.jobs import choose_executor
from ecg_assets.defs.run_processes import ends_dead_runs
from ecg_assets.defs.settings import Settings

FOLDER = pathlib.Path(os.environ["ECG_DATA_DIR"])

@dg.asset(pool="gpu")
def training(context: dg.AssetExecutionContext, settings: Settings) -> None:
    times = [time.time()]
    while not (FOLDER / "both").exists():
        time.sleep(0.05)
    times.append(time.time())
    (FOLDER / f"{context.run_id}.json").write_text(json.dumps(times))

settings = Settings()
defs = dg.Definitions(
    [training],
    jobs=[dg.define_asset_job("train", [training])],
    resources={"settings": settings},
    executor=ends_dead_runs(choose_executor(settings)),
)
"""
WORKSPACE = "load_from: [{python_file: {relative_path: d.py, location_name: here}}]"
LAUNCH = """mutation {launchRun(executionParams: {selector: {repositoryLocationName: "here",
repositoryName: "__repository__", jobName: "train"}, runConfigData: {}}) {
__typename ... on LaunchRunSuccess {run {runId}} ... on PythonError {message}}}"""


@pytest.fixture
def home(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME as people have it, and a database without tables."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(DAGSTER_YAML, tmp_path)
    return tmp_path


def _wait_for(arrived: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 240
    while not arrived():
        end = log.read_text(errors="replace")[-3000:]
        assert process.poll() is None, f"the UI ended early: {end}"
        assert time.monotonic() < deadline, f"nothing more arrived: {end}"
        time.sleep(0.1)


@pytest.fixture
def ui(home: Path, database: str) -> Iterator[Callable[[str], Any]]:
    """The UI and the daemon, which are told of the database by .env alone; a way to ask it."""
    (home / "d.py").write_text(DEFINITIONS)
    (home / "workspace.yaml").write_text(WORKSPACE)
    (home / ".env").write_text(
        f"DAGSTER_HOME={home}\nECG_POSTGRES_URL={database}\nECG_DATA_DIR={home}\n"
    )
    port = free_port()
    unset = ("DAGSTER_HOME", "ECG_POSTGRES_URL")
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ecg_assets.defs.ui", "--port", str(port)],
            cwd=home,
            env={name: value for name, value in os.environ.items() if name not in unset},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def ask(query: str) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql",
            json.dumps({"query": query}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def answers() -> bool:
        try:
            return bool(ask("{version}"))
        except OSError:
            return False

    with ending_session(process):
        _wait_for(answers, process, home / "log")
        ask.process = process  # type: ignore[attr-defined]
        yield ask


def test_two_runs_of_the_queue_share_the_database_and_the_place_in_the_pool(
    home: Path, ui: Callable[[str], Any]
) -> None:
    process = ui.process  # type: ignore[attr-defined]
    launched = [ui(LAUNCH)["launchRun"] for _ in range(2)]
    ids = [answer["run"]["runId"] for answer in launched]
    with open_instance() as instance:  # of another process

        def statuses() -> set[dg.DagsterRunStatus]:
            return {run.status for run in instance.get_runs()}

        _wait_for(lambda: statuses() == {dg.DagsterRunStatus.STARTED}, process, home / "log")
        with pytest.raises(SettingsError, match="Another UI"), sole_daemon(instance):
            pass
        commands = [one.cmdline() for one in psutil.Process(process.pid).children(recursive=True)]
        (home / "both").touch()
        _wait_for(lambda: statuses() == {dg.DagsterRunStatus.SUCCESS}, process, home / "log")
        for run_id in ids:
            said = [entry.dagster_event_type for entry in instance.all_logs(run_id)]
            for kind in ("ASSET_MATERIALIZATION", "STEP_SUCCESS", "RUN_SUCCESS"):
                assert said.count(dg.DagsterEventType[kind]) == 1
        first, second = sorted(json.loads((home / f"{run_id}.json").read_text()) for run_id in ids)
        assert first[1] <= second[0]
        info = ui("{instance {info}}")["instance"]["info"]
        assert instance.event_log_storage.get_concurrency_run_ids() == set()
    assert "PostgresRunStorage" in info
    assert not list(home.rglob("*.db"))
    assert sum("dagster" in " ".join(command) for command in commands) >= 3
    shown = "\n".join(
        [info, str(commands), (home / "log").read_text(), (home / MARKER).read_text()]
    )
    assert "127.0.0.1" in shown and not any(secret in shown for secret in (PASSWORD, QUOTED))


def test_the_graph_up_to_training_is_stored_and_fresh(tmp_path: Path, home: Path) -> None:
    stages = ["signal_shards", "manifests"]
    with open_instance() as instance:
        job = SmallJob.at(tmp_path, instance)
        job.materialize(*TABLES)
        job.materialize(stages[0], shards=job.shards)
        job.materialize(stages[1])
        job.train(epochs=1)
    with open_instance() as another:
        assert another.get_dynamic_partitions("shard") == job.shards
        keys = [dg.AssetKey(name) for name in (*TABLES, *stages, "finetuned_checkpoint")]

        def due(settings: Any) -> list[dg.AssetKey]:
            return assets_to_run(job.definitions, another, settings, keys, job.shards)

        assert due(job.settings) == []
        another_seed = SmallJob(another, job.settings_with(seed=2))
        found = assets_to_run(another_seed.definitions, another, job.settings, keys, job.shards)
        assert dg.AssetKey("split") in found and dg.AssetKey("labels") not in found
    assert not list(home.rglob("*.db"))


def test_a_wrong_password_is_said_and_none_is_quoted(
    home: Path, database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ECG_POSTGRES_URL", database.replace(QUOTED, "an0ther"))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(SettingsError, match="authentication failed for user") as error:
        dg.DagsterInstance.get()
    assert "cannot be opened as postgres" in str(error.value)
    said = "".join(traceback.format_exception(error.value)) + caplog.text
    assert "Retrying" in said and "an0ther" not in said
    assert not list(home.rglob("*.db")) and not (home / MARKER).exists()


def test_the_commands_of_the_page_make_a_database_that_is_enough(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for `psql`'s question for a password, which needs a terminal."""
    page = (ROOT / "docs" / "running.md").read_text("utf-8")
    (command,) = re.findall(r"^sudo -u postgres (psql .*)$", page, re.MULTILINE)
    programs = find_programs()
    assert programs is not None
    said = command.replace(r"\password ecg", "ALTER ROLE ecg PASSWORD 'password'")
    assert said != command
    address = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres"}
    subprocess.run(
        [str(programs / "psql"), *shlex.split(said)[1:]],
        env={**os.environ, **address, "PGPASSWORD": PASSWORD},
        check=True,
        capture_output=True,
    )
    (url,) = re.findall(r"^ECG_POSTGRES_URL=(\S+)$", page, re.MULTILINE)
    monkeypatch.setenv("ECG_POSTGRES_URL", url.replace("5432", str(server.port)))
    with open_instance() as instance, sole_daemon(instance):
        instance.add_dynamic_partitions("shard", ["p1000"])
    passwords = home / "pgpass"
    passwords.write_text(f"127.0.0.1:{server.port}:ecg:ecg:password")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    without = url.replace(":password", "").replace("5432", str(server.port))
    monkeypatch.setenv("ECG_POSTGRES_URL", without)
    with open_instance() as instance:
        assert instance.get_dynamic_partitions("shard") == ["p1000"]
