"""The page on a model of one's own: its files make a package whose model is trained."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from ecg_assets import entry_points
from ecg_assets.entry_points import load_entry_points
from ecg_assets.models.family import ModelFamily
from ecg_assets_tests.defs.small_job import SmallJob
from ecg_assets_tests.outside_package import install_package
from ecg_assets_tests.test_readme import ROOT

PAGE = ROOT / "docs" / "your_own_model.md"
DESIGN = """\
models:
  mine: {preset: resnet-1d-tiny}
sources: [synthetic]
label_sets: [ecg-fm-17]
changes: {epochs: 2}
"""


def test_the_page_has_the_whole_package(tmp_path: Path) -> None:
    install_package(PAGE, tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    modules = {f"ecg_resnet/{name}.py" for name in ("family", "model", "presets")}
    assert {"pyproject.toml", *modules} <= files


def test_the_pages_model_is_trained_and_stands_in_the_matrix(
    finished: SmallJob, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(finished.settings.data_path / "synthetic", data / "synthetic")
    design = tmp_path / "matrix.yaml"
    design.write_text(DESIGN, encoding="utf-8")
    environment = install_package(PAGE, tmp_path / "site")
    result = tmp_path / "result.json"
    program = [sys.executable, "-m", "ecg_assets_tests.defs.outside_model"]
    done = subprocess.run(
        [*program, data, design, result],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(result.read_text(encoding="utf-8"))
    assert found["families"][-1] == "resnet-1d"
    assert (found["sample_rate_hz"], found["segment_s"]) == (250, 5.0)
    measured = {(row["model"], row["method"]): row["value"] for row in found["macro_auroc"]}
    assert set(measured) == {("mine", "logistic-regression"), ("mine", "full")}
    assert all(0 < value <= 1 for value in measured.values())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_package:FAMILY", "cannot be loaded: ModuleNotFoundError"),
        ("ecg_assets.models.families:GROUP", "it is a str, expected a ModelFamily"),
    ],
)
def test_a_package_that_is_broken_is_left_out_and_named(
    value: str, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = EntryPoint(name="broken", value=value, group="ecg_assets.models")
    monkeypatch.setattr(entry_points, "entry_points", lambda group: [entry])
    with caplog.at_level(logging.WARNING):
        assert load_entry_points("ecg_assets.models", ModelFamily) == {}
    assert reason in caplog.text and "broken" in caplog.text
