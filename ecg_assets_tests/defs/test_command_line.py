"""What our commands read from .env, and what they end with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster_dg_cli.cli import cli
from dotenv import dotenv_values

from ecg_assets.defs.assets.sources_and_split import RecordListConfig, record_list
from ecg_assets.defs.command_line import read_env_file, run_command
from ecg_assets.defs.settings import VARIABLES, Settings
from ecg_assets.errors import SettingsError
from ecg_assets_tests.defs.small_job import SmallJob

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to start commands in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_env_file_counts_before_the_shell_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in Dagster's own commands, which read the same file."""
    for name, value in {"ECG_SOURCE": "synthetic", "ECG_SEED": "2", "ECG_LEADS": "II"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", "/elsewhere")
    monkeypatch.setenv("PWD", str(folder))
    (folder / ".env").write_text(
        "# mine\nECG_SOURCE=folder\nECG_SEED=2\nDAGSTER_HOME=${PWD}/dagster_home\n"
    )
    read_env_file()
    assert os.environ["ECG_SOURCE"] == "folder"
    assert os.environ["ECG_LEADS"] == "II"
    assert os.environ["DAGSTER_HOME"] == f"{folder}/dagster_home"
    assert capsys.readouterr().err == ".env counts, not the shell: ECG_SOURCE\n"


def test_example_of_an_env_file_names_settings_alone() -> None:
    example = dotenv_values(ROOT / ".env.example")
    assert example.pop("DAGSTER_HOME")
    assert {"ECG_SOURCE", "ECG_RAW_ROOT", "ECG_DATA_DIR"} <= set(example) <= set(VARIABLES)
    ignored = subprocess.run(["git", "check-ignore", ".env"], cwd=ROOT, check=False)
    assert ignored.returncode == 0


def test_the_demo_reads_it_before_the_definitions_load(folder: Path) -> None:
    """Folds are partitions, which are made when modules are imported."""
    (folder / ".env").write_text("ECG_FOLDS=1\n")
    ended = subprocess.run(
        [sys.executable, "-m", "ecg_assets.defs.demo"],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("ECG_FOLDS is '1'.")


def test_dagster_s_commands_read_it_in_the_same_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECG_SOURCE", "synthetic")
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    (folder / "dagster.yaml").touch()
    (folder / ".env").write_text("ECG_SOURCE=folder\n")
    (folder / "reads_source.py").write_text(
        "import dagster as dg, os, pathlib\n"
        "@dg.asset\n"
        "def seen():\n"
        "    pathlib.Path('seen').write_text(os.environ['ECG_SOURCE'])\n"
        "defs = dg.Definitions([seen], executor=dg.in_process_executor)\n"
    )
    command = ["launch", "-m", "reads_source", "--assets", "seen"]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, result.output
    assert (folder / "seen").read_text() == "folder"


@pytest.mark.parametrize(
    ("error", "last"),
    [
        (SettingsError("ECG_SEED is 'one'."), "ECG_SEED is 'one'."),
        (KeyboardInterrupt(), "Cancelled. What is finished is kept: the same command goes on"),
    ],
)
def test_a_command_ends_with_the_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], error: BaseException, last: str
) -> None:
    def fail() -> int:
        raise error

    assert run_command(fail) == 1
    assert last in capsys.readouterr().err.splitlines()[-1]


def test_a_step_fails_with_the_sentence_as_its_description(tmp_path: Path) -> None:
    """And with nothing after it in the log but the command's own last line."""
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(tmp_path, instance, source="mimic-iv-ecg")
        found = {
            name: job.materialize(name, raise_on_error=False) for name in ("record_list", "split")
        }
    for name, sentence in {
        "record_list": "ECG_RAW_ROOT is not set.",  # of the asset's function
        "split": "record_list.parquet. Materialize record_list first.",  # of its input
    }.items():
        (event,) = (event for event in found[name].all_events if event.is_step_failure)
        data = event.step_failure_data
        assert data.user_failure_data is not None and data.error is not None
        assert sentence in str(data.user_failure_data.description)
        cause = data.error.cause
        assert cause is not None and cause.cause is None and cause.stack == []
        assert sentence in cause.message
        raised_in = data.user_failure_data.metadata["raised_in"]
        assert "in source_root" in str(raised_in) or "in load_from_path" in str(raised_in)


def test_functions_of_assets_raise_the_error_itself(tmp_path: Path) -> None:
    """Outside a run, whatever was loaded before."""
    with dg.DagsterInstance.ephemeral() as instance:
        job = SmallJob.at(tmp_path, instance, source="mimic-iv-ecg")
        assert job.definitions is not None
        context = dg.build_asset_context(instance=instance)
        with pytest.raises(SettingsError, match="ECG_RAW_ROOT"):
            record_list(context, RecordListConfig(), Settings(source="mimic-iv-ecg", raw_root=""))


def test_dg_says_what_a_command_takes() -> None:
    dg_command = [str(Path(sys.executable).with_name("dg")), "launch", "--help"]
    said = subprocess.run(dg_command, capture_output=True, text=True, check=True).stdout
    assert {"--assets", "--partition", "--config-json"} <= set(said.split())
