"""One finished run of the whole job for all tests of this folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Engine, event

from ecg_assets.defs.resources import Trainer
from ecg_assets_tests.defs.postgres import Server, postgres
from ecg_assets_tests.defs.small_job import MATRIX, SmallJob
from ecg_assets_tests.labels.upstream_stand_in import write_stand_in


@event.listens_for(Engine, "connect")
def _wait_for_no_disk(connection: object, _: object) -> None:
    """Events of a run need not outlive a power cut: PostgreSQL waits for no disk here, either."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
def tmp_path(quick_path: Path) -> Path:
    """In memory: most tests here have an instance, or start a process that has one."""
    return quick_path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallJob]:
    """Materialize the whole job on a small cohort; tests only look at it."""
    folder = tmp_path_factory.mktemp("finished")
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        upstream = write_stand_in(folder / "ECG-FM")
        matrix = folder / "matrix.yaml"
        matrix.write_text(MATRIX, encoding="utf-8")
        job = SmallJob.at(folder, instance, ecg_fm_root=str(upstream), matrix=str(matrix))
        job.run_to_manifests()
        job.materialize("upstream_labels", "label_differences")
        in_child = replace(job, trainer=Trainer())
        in_child.pretrain()
        in_child.train()
        job.train_experiments()
        job.compare_models()
        job.evaluate(job.checkpoints[0])
        yield job


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL for all tests that need it."""
    with postgres() as started:
        yield started


@pytest.fixture
def database(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, which ECG_POSTGRES_URL names."""
    url = server.create_database()
    monkeypatch.setenv("ECG_POSTGRES_URL", url)
    return url
