"""The README's commands are executed, and the settings page has those that the code reads."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

import ecg_assets
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.settings import VARIABLES, Settings
from ecg_assets_tests.defs.graph import run_config_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines()]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
VARIABLE = re.compile(r"\bECG_[A-Z_]+\b")
COMPUTED = {
    *("those of `ECG_LEADS`", "the preset's", "this one", "all cores"),
    "the label set's, or `patients`",
    "`synthetic`; the first of `ECG_PROTOCOL`",
    "`I`; `all` for a preset whose models do not read it alone",
}
"""Defaults that are no fixed text."""
IN_WORDS = {" ": "a space", "[]": "all that are stored"}
"""Defaults of run configuration that are better said than shown."""


def _commands(*start: str) -> list[list[str]]:
    found = [command for command in COMMANDS if command[: len(start)] == list(start)]
    assert found
    return found


@pytest.mark.parametrize("command", _commands("make"), ids=" ".join)
def test_make_target_exists(command: list[str]) -> None:
    subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_every_setting_is_in_the_table_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| `(ECG_\w+)` \| (.*?) ?\| .+ \|$", SETTINGS, re.MULTILINE)
    in_code = {
        name: f"`{default}`" if default and default not in COMPUTED else default
        for name, default in VARIABLES.items()
    }
    assert dict(rows) == in_code
    assert len(rows) == len(in_code)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_names_settings_alone(page: Path) -> None:
    text = re.sub(r"```python\n.*?```|https://\S+", "", page.read_text("utf-8"), flags=re.DOTALL)
    assert set(VARIABLE.findall(text)) <= set(VARIABLES)


def test_run_configuration_of_the_table_is_that_of_the_assets() -> None:
    rows = re.findall(r"^\| (`\w+`.*?) \| `(\w+)` \| (.*?) \| .+ \|$", SETTINGS, re.MULTILINE)
    definitions, found = build_definitions(), 0
    for assets, field, default in rows:
        for asset in re.findall(r"\w+", assets):
            declared = run_config_of(definitions, asset)[field]
            value = declared.default_value if declared.default_provided else []
            assert default in {f"`{value}`".lower(), IN_WORDS.get(str(value))}, (asset, field)
            found += 1
    assert found == 14


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[)#]", page.read_text("utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_every_page_is_named_in_the_readme_or_by_a_page_that_is() -> None:
    named, todo = set(), [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        named.add(page)
        links = re.findall(r"\]\(([^)#:]+\.md)[)#]", page.read_text("utf-8"))
        todo += [found for link in links if (found := (page.parent / link).resolve()) not in named]
    assert set(PAGES) - {page for page in PAGES if "decisions" in page.parts} <= named


def test_every_asset_is_in_the_table_of_assets() -> None:
    page = (ROOT / "docs" / "assets.md").read_text("utf-8")
    settings = Settings(protocol="ptb-xl-super-tiny", source="ptb-xl")
    graph = build_definitions({"settings": settings}).resolve_asset_graph()
    assets = {key.to_user_string() for key in graph.get_all_asset_keys()}
    rows = re.findall(r"^\| (`\w+`.*?) \|", page, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named == assets


def test_jobs_of_the_walk_are_jobs() -> None:
    walk = README[README.index("under *Jobs* launch") : README.index("From there on")]
    jobs = re.findall(r"^\| `(\w+)`", walk, re.MULTILINE)
    assert jobs == ["tables", "preprocess", "finetune"]
    assert set(jobs) <= {job.name for job in build_definitions().resolve_all_job_defs()}


def test_the_version_to_cite_is_that_of_the_package() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert cited["version"] == ecg_assets.__version__
    assert {"title", "message", "authors", "license", "cff-version"} <= set(cited)


def test_launched_commands_work_in_their_order(quick_path: Path) -> None:
    home, results = quick_path / "home", quick_path / "data" / "synthetic"
    home.mkdir()
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "ECG_SOURCE": "synthetic",
        "ECG_RAW_ROOT": "",
        "ECG_DATA_DIR": str(quick_path / "data"),
        "ECG_SYNTHETIC_RECORDS": "160",
    }
    for dg_, *arguments in _commands("dg", "launch"):
        # Not in the checkout, whose .env would count.
        command = [str(Path(sys.executable).with_name(dg_)), *arguments, "--target-path", str(ROOT)]
        result = subprocess.run(
            command, cwd=quick_path, env=environment, capture_output=True, text=True, check=False
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
