"""A real daemon: what is put below checkpoints has its report and its row without a click."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from ecg_assets.labels import ECG_FM_LABELS
from ecg_assets.models.ecg_fm.fairseq_export import export_fairseq
from ecg_assets_tests.defs.sessions import ending_session
from ecg_assets_tests.defs.small_job import N_RECORDS, SmallJob
from ecg_assets_tests.models.fairseq_checkpoints import random_classifier

LIMIT_S = 480

# No queue, and seconds between looks: waiting would make the test longer, not stronger.
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("touched-by-pickle",)


def _drop(checkpoints: Path) -> None:
    """Put a good file and two bad ones below checkpoints."""
    model = random_classifier(n_labels=len(ECG_FM_LABELS))
    file = export_fairseq(model, checkpoints / "from-fairseq.pt")
    content = file.read_bytes()
    (checkpoints / "corrupt.pt").write_bytes(content[: len(content) // 2])
    torch.save({"cfg": {"model": {}}, "model": {"w": _Runs()}}, checkpoints / "malicious.pt")


@pytest.fixture
def home(tmp_path: Path, finished: SmallJob) -> Path:
    """The finished job's instance and results, copied."""
    source = finished.settings.data_path
    shutil.copytree(
        source.parent,
        tmp_path,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("ECG-FM", "mat_records", "embeddings", "saliency"),
    )
    (tmp_path / "dagster.yaml").write_text(INSTANCE)
    return tmp_path


@pytest.fixture
def daemon(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "ECG_SOURCE": "synthetic",
        "ECG_RAW_ROOT": "",
        "ECG_DATA_DIR": str(home / "data"),
        "ECG_SYNTHETIC_RECORDS": str(N_RECORDS),
        "ECG_DEVICE": "cpu",
        "ECG_EXECUTOR": "one-process",
        "ECG_SENSOR_SECONDS": "3",
        "OMP_NUM_THREADS": "1",
    }
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run"]
    with (home / "daemon.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-m", "ecg_assets.definitions"],
            cwd=home,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with ending_session(process, within_s=20):
            yield process


def _wait_until(arrived: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not arrived():
        end = log.read_text(errors="replace")[-3000:]
        assert process.poll() is None, f"the daemon ended early: {end}"
        assert time.monotonic() < deadline, f"nothing more arrived: {end}"
        time.sleep(0.5)


def _read(path: Path) -> pd.DataFrame:
    return pq.read_table(path).to_pandas() if path.is_file() else pd.DataFrame()


def test_what_is_dropped_is_evaluated_or_listed_without_a_click(
    home: Path, daemon: subprocess.Popen[bytes]
) -> None:
    _drop(home / "data" / "checkpoints")
    results, good = home / "data" / "synthetic", {"from-fairseq"}
    bad = {"corrupt.pt", "malicious.pt"}

    def has_all() -> bool:
        board, refused = (
            _read(results / f"{n}.parquet") for n in ("leaderboard", "refused_checkpoints")
        )
        reports = [results / "eval_report" / name / "report.html" for name in good]
        told = (home / "daemon.log").read_text(errors="replace")
        return (
            all(path.is_file() for path in reports)
            and all(f"run failed: checkpoint [{Path(name).stem}]" in told for name in bad)
            and good <= set(board.get("checkpoint", ()))
            and bad <= set(refused.get("file", ()))
        )

    _wait_until(has_all, daemon, home / "daemon.log")
    assert not (home / "touched-by-pickle").exists()
    reasons = _read(results / "refused_checkpoints.parquet").set_index("file")["reason"]
    assert "cut off or damaged" in reasons["corrupt.pt"]
    assert "could run code" in reasons["malicious.pt"]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        failed = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        partitions = sorted(run.tags["dagster/partition"] for run in failed)
    assert partitions == ["corrupt", "malicious"]
    # What followed would be red for good checkpoints, too.
    assert all(run.asset_selection == {dg.AssetKey("checkpoint")} for run in failed)
