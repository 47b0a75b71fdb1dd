"""What is executed, and where results lie, is the deployment's alone: no run can choose it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.resources import Trainer, fixed
from ecg_assets.defs.settings import Settings
from ecg_assets.errors import SettingsError, hide_password

PROGRAM = "/bin/sh"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions({"settings": Settings(data_dir=str(tmp_path_factory.mktemp("data")))})


@pytest.mark.parametrize(
    ("resource", "config"),
    [
        ("trainer", {"python": PROGRAM}),
        ("trainer", {"launcher": [PROGRAM]}),
        ("trainer", {"launch": [PROGRAM]}),
        ("fairseq_signals", {"python": PROGRAM}),
        ("settings", {"ecg_fm_python": PROGRAM}),
        ("settings", {"data_dir": "/elsewhere"}),
        ("parquet", {"settings": {"data_dir": "/elsewhere"}}),
    ],
)
def test_a_run_cannot_choose_programs_or_folders(
    definitions: dg.Definitions, resource: str, config: dict[str, Any]
) -> None:
    job = definitions.resolve_job_def("finetune")
    with pytest.raises(dg.DagsterInvalidConfigError, match="config"):
        job.execute_in_process(run_config={"resources": {resource: {"config": config}}})


def test_every_resource_is_out_of_the_runs_configuration(definitions: dg.Definitions) -> None:
    resources = definitions.get_repository_def().get_top_level_resources()
    assert {"settings", "trainer", "fairseq_signals", "parquet", "mat"} <= set(resources)
    for name, resource in resources.items():
        kind = resource.config_schema.as_field().config_type
        assert isinstance(kind, dg.Shape) and kind.fields == {}, name


def test_the_launcher_is_set_where_the_ui_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_LAUNCHER", "-m torch.distributed.run --nproc-per-node=4")
    assert Trainer().launcher == ["-m", "torch.distributed.run", "--nproc-per-node=4"]


def test_settings_are_shown_without_passwords(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path), raw_root="s3://me:secret@host/bucket")
    shown = fixed(settings).description
    assert f"| data_dir | {tmp_path} |" in shown
    assert "s3://***@host/bucket" in shown
    assert "secret" not in shown
    assert hide_password("/data/me@home") == "/data/me@home"


def test_every_setting_that_counts_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the code location, too: which is read nowhere else in the UI."""
    monkeypatch.setenv("ECG_FOLDS", "7")
    resources = build_definitions().get_repository_def().get_top_level_resources()
    shown = str(resources["settings"].description)
    assert "| n_folds | 7 |" in shown and "| executor | processes |" in shown
    assert "| source | " in shown


def test_an_error_quotes_no_password(tmp_path: Path) -> None:
    settings = Settings(
        source="ptb-xl", data_dir=str(tmp_path), raw_root="nowhere://me:secret@host/bucket"
    )
    with pytest.raises(SettingsError) as raised:
        settings.open_source()
    assert "secret" not in str(raised.value)
    assert "nowhere://***@host/bucket" in str(raised.value)
