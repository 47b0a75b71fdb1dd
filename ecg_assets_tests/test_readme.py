"""The README's commands are executed, and its settings are the ones that the code reads."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
VARIABLE = re.compile(r"\bECG_[A-Z_]+\b")


def _commands(*start: str) -> list[list[str]]:
    found = [command for command in COMMANDS if command[: len(start)] == list(start)]
    assert found
    return found


def settings_in_code() -> set[str]:
    """Names of the variables that the settings, partitions, executor and sensors read."""
    files = ("resources/settings.py", "partitions.py", "executor.py", "automation.py", "alerts.py")
    text = "".join((ROOT / "ecg_assets" / "defs" / name).read_text() for name in files)
    return set(re.findall(r'"(ECG_[A-Z_]+)"', text))


@pytest.mark.parametrize("command", _commands("make"), ids=" ".join)
def test_make_target_exists(command: list[str]) -> None:
    subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    assert set(VARIABLE.findall(README)) == settings_in_code()


def test_exports_name_settings() -> None:
    names = {word.split("=")[0] for command in _commands("export") for word in command[1:]}
    assert names <= settings_in_code()


def test_relative_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert missing == []


def test_materialize_commands_work_in_their_order(tmp_path: Path) -> None:
    home, results = tmp_path / "home", tmp_path / "data" / "synthetic"
    home.mkdir()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "ECG_SOURCE": "synthetic",
        "ECG_RAW_ROOT": "",
        "ECG_DATA_DIR": str(tmp_path / "data"),
        "ECG_SYNTHETIC_RECORDS": "160",
    }
    for dagster, *arguments in _commands("dagster", "asset", "materialize"):
        command = [str(Path(sys.executable).with_name(dagster)), *arguments]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr[-3000:]
    assert len(list((results / "signal_shards").iterdir())) == 4
    with dg.DagsterInstance.from_config(str(home)) as instance:
        runs = {
            record.partition_key: record.run_id
            for record in instance.fetch_materializations(
                dg.AssetKey("signal_shards"), limit=100
            ).records
        }
    assert len({runs[shard] for shard in ("p1001", "p1002", "p1003")}) == 1
    assert runs["p1000"] != runs["p1001"]
