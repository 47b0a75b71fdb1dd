"""A backfill's run on a real local Ray cluster: the same shards as on processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from ecg_assets.defs.jobs import choose_executor
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import SettingsError
from ecg_assets.lineage import fingerprint_folder
from ecg_assets_tests.defs.sessions import free_port
from ecg_assets_tests.defs.small_job import N_RECORDS, SmallJob

_BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, str]]:
    """Environment of a cluster of two cores that listens on 127.0.0.1 alone."""
    if not (find_spec("dagster_ray") and find_spec("ray")):
        pytest.skip("dagster-ray and Ray are not installed (extra ray)")
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # keeps every server on 127.0.0.1
    }
    # Not in pytest's folder: the path of a socket has at most 107 letters.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        start = ["start", "--head", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"]
        start += [f"--dashboard-port={port}", "--port=0", "--num-cpus=2", f"--temp-dir={folder}"]
        subprocess.run([_BIN / "ray", *start], env=environment, check=True, capture_output=True)
        yield {**environment, "RAY_ADDRESS": f"http://127.0.0.1:{port}", "ECG_EXECUTOR": "ray"}
        subprocess.run([_BIN / "ray", "stop"], env=environment, check=True, capture_output=True)


def test_shards_from_a_cluster_are_the_same(
    cluster: dict[str, str], tmp_path: Path, finished: SmallJob
) -> None:
    settings = {
        "DAGSTER_HOME": str(tmp_path / "home"),
        "ECG_SOURCE": "synthetic",
        "ECG_SYNTHETIC_RECORDS": str(N_RECORDS),
        "ECG_DATA_DIR": str(tmp_path / "data"),
    }
    (tmp_path / "home").mkdir()
    shards = f"{finished.shards[0]}...{finished.shards[-1]}"
    _materialize("record_list", env={**cluster, **settings, "ECG_EXECUTOR": "processes"})
    printed = _materialize(
        "signal_shards", "--partition-range", shards, env={**cluster, **settings}
    )
    assert 'Executing step "signal_shards" in Ray job' in printed
    found = tmp_path / "data" / "synthetic"
    for asset in ("signal_shards", "rejects"):
        assert fingerprint_folder(found / asset) == fingerprint_folder(
            finished.settings.stored.folder(asset)
        )


def _materialize(asset: str, *arguments: str, env: dict[str, str]) -> str:
    command = [sys.executable, "-m", "dagster_dg_cli.cli", "launch"]
    command += ["-m", "ecg_assets.definitions", "--assets", asset, *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_unknown_executor_or_missing_address_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ECG_EXECUTOR", "slurm")
    with pytest.raises(SettingsError, match=r"ECG_EXECUTOR is 'slurm'.*'ray'"):
        choose_executor(Settings())
    monkeypatch.setenv("ECG_EXECUTOR", "ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    needed = r"RAY_ADDRESS=http" if find_spec("dagster_ray") else r"ecg-assets\[ray\]"
    with pytest.raises(SettingsError, match=needed):
        choose_executor(Settings())
