"""Where the instance keeps its runs: ECG_POSTGRES_URL, SQLite without it, and never by mistake."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from ecg_assets.defs import instance as instance_module
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.instance import (
    MARKER,
    open_instance,
    read_postgres_url,
    require_storage,
    sole_daemon,
)
from ecg_assets.defs.run_processes import ends_dead_runs
from ecg_assets.errors import SettingsError

DAGSTER_YAML = Path(__file__).resolve().parents[2] / "dagster_home" / "dagster.yaml"
URL = "postgresql://me:s3same@127.0.0.1:1/ecg"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME with the project's dagster.yaml, and no database."""
    monkeypatch.delenv("ECG_POSTGRES_URL", raising=False)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    shutil.copy(DAGSTER_YAML, tmp_path)
    return tmp_path


def test_without_the_variable_the_files_are_where_dagster_puts_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An instance of before goes on: the same classes on the same folders."""
    assert (
        InstanceRef.from_dir(str(home)).storage_data
        == (InstanceRef.config_defaults(str(home))["storage"])
    )
    monkeypatch.setenv("ECG_POSTGRES_URL", " ")
    with open_instance() as instance:
        instance.add_dynamic_partitions("shard", ["p1000"])
    assert list((home / "history").rglob("*.db"))
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.get() as of_before:
        assert of_before.get_dynamic_partitions("shard") == ["p1000"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://me:s3same@host/ecg", "does not begin with postgresql://"),
        ("postgresql://me:s3@ame@host/ecg", "There are two @"),
        ("postgresql://me:s3same@host", "name is missing"),
        ("postgresql://me:s3same@host:s3same/ecg", "cannot be read"),
        ("s3same", "cannot be read"),
    ],
)
def test_what_names_no_database_is_refused_and_not_quoted(
    home: Path, monkeypatch: pytest.MonkeyPatch, url: str, why: str
) -> None:
    monkeypatch.setenv("ECG_POSTGRES_URL", url)
    for load in (read_postgres_url, dg.DagsterInstance.get, build_definitions):
        with pytest.raises(SettingsError, match=f"ECG_POSTGRES_URL names no .*{why}") as error:
            load()
        assert "s3same" not in str(error.value) and "ame@" not in str(error.value)
        assert error.value.__cause__ is None


def test_every_spelling_takes_the_driver_of_dagster_postgres(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        monkeypatch.setenv("ECG_POSTGRES_URL", f"{scheme}://me:p%40%2F@host/ecg?sslmode=require")
        url = read_postgres_url()
        assert url is not None
        assert url.drivername == "postgresql+psycopg2"
        assert (url.password, url.query["sslmode"]) == ("p@/", "require")


def test_without_the_extra_it_is_said_what_to_install(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ECG_POSTGRES_URL", URL)
    monkeypatch.setitem(sys.modules, "dagster_postgres", None)
    with pytest.raises(SettingsError, match=r"make install EXTRAS=dev,postgres"):
        dg.DagsterInstance.get()
    assert not (home / MARKER).exists()


def test_the_ui_shows_where_without_who(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_POSTGRES_URL", "postgresql://me:s3/a%40me@host/ecg?password=s3same")
    resources = build_definitions().get_repository_def().get_top_level_resources()
    shown = str(resources["settings"].description)
    assert "| postgres_url | ecg at host:5432 |" in shown
    assert not any(word in shown for word in ("s3/a", "s3same", "me:"))


def test_a_process_that_dagster_starts_never_falls_back_to_sqlite(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is handed says PostgreSQL, and holds no URL: that goes to command lines."""
    monkeypatch.setenv("ECG_POSTGRES_URL", URL)
    handed = InstanceRef.from_dir(str(home))
    assert "s3same" not in dg.serialize_value(handed)
    monkeypatch.delenv("ECG_POSTGRES_URL")
    with pytest.raises(SettingsError, match="ECG_POSTGRES_URL is not set here"):
        dg.DagsterInstance.from_ref(handed)
    assert not list(home.rglob("*.db"))


def test_a_command_without_the_variable_never_falls_back_to_sqlite(home: Path) -> None:
    """`dagster instance concurrency`, say, does not read .env."""
    (home / MARKER).write_text("ecg at host:5432\n")
    with pytest.raises(SettingsError, match=r"in PostgreSQL \(ecg at host:5432\), .*delete"):
        dg.DagsterInstance.get()
    assert not list(home.rglob("*.db"))


@pytest.mark.parametrize("text", ["", "storage: {sqlite: {base_dir: HOME}}\n"])
def test_another_dagster_yaml_never_falls_back_to_sqlite(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """One without our lines, or with a storage of its own: no run goes there."""
    ours = DAGSTER_YAML.read_text() if text else ""
    (home / "dagster.yaml").write_text(ours + text.replace("HOME", str(home)))
    monkeypatch.setenv("ECG_POSTGRES_URL", URL)
    with pytest.raises(SettingsError, match="would not go there"), open_instance():
        pass
    with (
        dg.DagsterInstance.get() as instance,
        pytest.raises(SettingsError, match="would not go there"),
    ):
        dg.execute_job(dg.reconstructable(_job), instance, raise_on_error=True)


@dg.op
def _step() -> None:
    raise AssertionError("the run went on")


def _job() -> dg.JobDefinition:
    return dg.GraphDefinition(name="run", node_defs=[_step]).to_job(
        executor_def=ends_dead_runs(dg.in_process_executor)
    )


def test_without_the_variable_any_instance_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ECG_POSTGRES_URL", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        require_storage(instance)
        with sole_daemon(instance):
            pass


def test_dagster_yaml_names_what_is_there() -> None:
    text = DAGSTER_YAML.read_text()
    assert f"module: {instance_module.__name__}" in text
    assert f"class: {instance_module.Instance.__name__}" in text
