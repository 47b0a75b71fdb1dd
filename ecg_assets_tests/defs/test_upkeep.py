"""Owners, references to code and deadlines: what the UI shows of a definition beside what it is."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._utils.schedules import get_latest_completed_cron_tick

from ecg_assets.defs.automation import RE_EVALUATED_EACH_WEEK, weekly_reevaluation
from ecg_assets.defs.build import build_definitions
from ecg_assets.defs.jobs import RE_EVALUATED_ASSETS, evaluate_job
from ecg_assets.defs.settings import CodeLocation
from ecg_assets.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
DESCRIBE = """
import json
from ecg_assets.definitions import defs
from ecg_assets_tests.defs.graph import describe_graph
print(json.dumps(describe_graph(defs)))
"""


def test_all_that_can_have_owners_has_those_of_the_deployment() -> None:
    """They are read when the definitions load, and Dagster's note of the beta is not repeated."""
    found = subprocess.run(
        [sys.executable, "-c", DESCRIBE],
        env={**os.environ, "PYTHONPATH": str(ROOT), "ECG_OWNERS": "team:ecg, ana@example.org"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stderr == ""
    described = json.loads(found.stdout)
    without = {
        name
        for kind in ("assets", "jobs", "sensors", "schedules")
        for name, one in described[kind].items()
        if one["owners"] != ["team:ecg", "ana@example.org"]
    }
    # Dagster has none for sensors of these two types.
    assert without == {"alert_on_failed_run", "changed_data"}


def test_something_else_than_an_owner_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_OWNERS", "team:ecg,ana")
    with pytest.raises(SettingsError, match=r"ECG_OWNERS is 'team:ecg,ana'.*not ana"):
        CodeLocation()


def test_every_asset_says_where_its_function_stands() -> None:
    graph = build_definitions().resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        (reference,) = graph.get(key).metadata["dagster/code_references"].code_references
        assert isinstance(reference, dg.LocalFileCodeReference)
        path = Path(reference.file_path)
        assert path.is_relative_to(ROOT / "ecg_assets" / "defs" / "assets"), key
        lines = path.read_text("utf-8").splitlines()[(reference.line_number or 0) - 1 :]
        start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("def "))
        decorated = "\n".join(lines[: start + 1])
        name = key.to_user_string()
        assert f"def {name}(" in decorated or f'"{name}"' in decorated, key


def test_a_day_after_the_schedule_asked_all_that_it_asks_for_is_due() -> None:
    now = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
    policy = RE_EVALUATED_EACH_WEEK
    deadline = get_latest_completed_cron_tick(policy.deadline_cron, now, policy.timezone)
    asked = get_latest_completed_cron_tick(
        str(weekly_reevaluation.cron_schedule), now, str(weekly_reevaluation.execution_timezone)
    )
    assert deadline - policy.lower_bound_delta == asked
    assert weekly_reevaluation.job_name == evaluate_job.name
    graph = build_definitions().resolve_asset_graph()
    due = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).freshness_policy is not None
    }
    assert due == set(RE_EVALUATED_ASSETS)
