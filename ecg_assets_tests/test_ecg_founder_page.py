"""The page on ECGFounder: its Python runs, its commands name what there is."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import dagster as dg
import pytest

from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.settings import VARIABLES
from ecg_assets.models import load_trained
from ecg_assets_tests.models.golden_net1d import tiny_founder, write_founder
from ecg_assets_tests.test_readme import ROOT, VARIABLE

PAGE = ROOT / "docs" / "ecg_founder.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]
LOOP = re.compile(r"for (\w+) in ([\w ]+); do (.*); done")


def _commands() -> list[list[str]]:
    """All commands, loops unrolled."""
    lines = []
    for line in LINES:
        if loop := LOOP.fullmatch(line):
            lines += [loop[3].replace(f"${loop[1]}", value) for value in loop[2].split()]
        else:
            lines.append(line)
    return [shlex.split(line) for line in lines]


def _option(command: list[str], name: str) -> str | None:
    return command[command.index(name) + 1] if name in command else None


def test_only_settings_are_named() -> None:
    exported = {
        word.split("=")[0] for words in _commands() if words[0] == "export" for word in words[1:]
    }
    assert exported <= set(VARIABLE.findall(TEXT)) <= set(VARIABLES)


def test_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


def test_every_command_is_of_a_kind_that_is_looked_at() -> None:
    starts = {tuple(command[:2]) for command in _commands() if command[0] != "export"}
    assert starts == {("make", "demo"), ("dg", "launch")}
    subprocess.run(["make", "demo", "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_materialize_commands_name_assets_partitions_and_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ECG_PRESET", "ecg-founder-six")
    definitions = build_definitions()
    graph = definitions.resolve_asset_graph()
    job = definitions.resolve_implicit_global_asset_job_def()
    for command in (words for words in _commands() if words[0] == "dg"):
        asset, partition = _option(command, "--assets"), _option(command, "--partition")
        assert asset is not None
        partitions = graph.get(dg.AssetKey(asset)).partitions_def
        if isinstance(partitions, dg.StaticPartitionsDefinition):
            assert partition in partitions.get_partition_keys(), command
        else:
            assert (partitions is None) == (partition is None), command
        if config := _option(command, "--config-json"):
            subset = job.get_subset(asset_selection={dg.AssetKey(asset)})
            dg.validate_run_config(subset, json.loads(config))


def test_python_makes_a_baseline_of_the_published_head(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    for folder in ("/models", "/data/ecg-founder"):
        assert folder in code
        code = code.replace(folder, f"{tmp_path}{folder}")
    (tmp_path / "models").mkdir()
    published = tiny_founder(n_channels=12, n_labels=150)
    write_founder(tmp_path / "models" / "12_lead_ECGFounder.pth", published)
    exec(code, {})
    trained = load_trained(tmp_path / "data" / "ecg-founder" / "checkpoints" / "zero-shot")
    assert trained.vocabulary.names == ("NORM", "AFIB", "AFLT", "1dAVb", "RBBB", "LBBB")
    assert trained.model.config.num_labels == 6
