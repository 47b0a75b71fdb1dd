"""A failed run and a failed check reach the log or a function, without data; so do the recipes."""

import json
import logging
import re
import socketserver
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import dagster as dg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from ecg_assets.defs import alerts
from ecg_assets.defs.alerts import (
    Alert,
    alert_on_failed_check,
    alert_on_failed_run,
    choose_alert,
    describe_error,
)
from ecg_assets.defs.build import build_definitions
from ecg_assets.errors import BadRecord, CheckpointError, SettingsError

ALERT = Alert("run failed", "4f1c", job="evaluate", asset="predictions", partition="tiny")
ADVICE = " ".join(["Copy it again."] * 30)
RECEIVED: list[Alert] = []
PAGE = Path(__file__).parents[2] / "docs" / "reevaluation.md"
RECIPES = dict(
    re.findall(r"as `(\w+)\.py`.*?```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
)
"""Modules that the page on alerts shows, by name."""


def keep(alert: Alert) -> None:
    """A user's own function."""
    RECEIVED.append(alert)


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Alert]]:
    monkeypatch.setenv("ECG_ALERT", f"{__name__}:keep")
    RECEIVED.clear()
    yield RECEIVED


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        yield found


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["good", "bad", "odd"]))
def predictions(context: dg.AssetExecutionContext) -> None:
    if context.partition_key == "bad":
        raise CheckpointError(f"model.pt is damaged.\n{ADVICE}")
    if context.partition_key == "odd":
        raise BadRecord("missing_file", "study 40689238 of patient 10000032: Sinus rhythm")


@dg.asset_check(asset=predictions)
def shares_are_those_of_validation() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=False, severity=dg.AssetCheckSeverity.WARN, metadata={"line": "Sinus rhythm"}
    )


def _run(instance: dg.DagsterInstance, partition: str) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions([predictions], asset_checks=[shares_are_those_of_validation])
    job = definitions.resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, partition_key=partition, raise_on_error=False)


def _tell(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> None:
    event = next(event for event in result.all_events if event.is_run_failure)
    context = dg.build_run_status_sensor_context(
        "alert_on_failed_run", event, instance, result.dagster_run
    ).for_run_failure()
    alert_on_failed_run(context)


def test_a_failed_run_is_told_with_the_reason(
    instance: dg.DagsterInstance, kept: list[Alert]
) -> None:
    result = _run(instance, "bad")
    _tell(instance, result)
    (alert,) = kept
    assert alert.subject == "run failed: predictions [bad]"
    assert alert.error == f"CheckpointError: model.pt is damaged.\n{ADVICE}"
    assert alert.run_id == result.run_id


def test_what_may_quote_a_recording_is_not_told(
    instance: dg.DagsterInstance, kept: list[Alert]
) -> None:
    _tell(instance, _run(instance, "odd"))
    (alert,) = kept
    assert alert.error.startswith("BadRecord (")
    assert not any(text in alert.text for text in ("40689238", "10000032", "Sinus"))


def test_the_sentence_is_told_whatever_stands_behind_it() -> None:
    """Of a file that pydantic refuses, say: the reason behind is no advice."""
    try:
        try:
            json.loads("{")
        except ValueError as error:
            raise SettingsError("ECG_MATRIX is no YAML file. Correct it.") from error
    except SettingsError:
        found = describe_error(serializable_error_info_from_exc_info(sys.exc_info()))
    assert found == "SettingsError: ECG_MATRIX is no YAML file. Correct it."


def test_each_failed_check_is_told_once(instance: dg.DagsterInstance, kept: list[Alert]) -> None:
    _run(instance, "good")
    context = dg.build_sensor_context(instance=instance)
    alert_on_failed_check(context)
    assert kept == []  # what failed before somebody watched
    result = _run(instance, "good")
    for _ in range(3):
        context = dg.build_sensor_context(instance=instance, cursor=context.cursor)
        alert_on_failed_check(context)
    (alert,) = kept
    assert alert.subject == "check failed (warn): predictions.shares_are_those_of_validation"
    assert alert.run_id == result.run_id
    assert "Sinus" not in alert.text


def test_log_is_the_default(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("ECG_ALERT")
    with caplog.at_level(logging.ERROR, logger="ecg_assets.defs.alerts"):
        choose_alert()(ALERT)
    assert "run failed: predictions [tiny]" in caplog.text


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose a recipe of the page, put beside the user's own code."""

    def choose(name: str) -> None:
        (tmp_path / f"{name}.py").write_text(RECIPES[name], "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setenv("ECG_ALERT", f"{name}:send")

    return choose


def test_slack_gets_one_message(
    recipe: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe("alert_slack")
    bodies: list[bytes] = []

    class Webhook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("SLACK_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
        choose_alert()(ALERT)
        thread.join()
    assert json.loads(bodies[0]) == {"text": ALERT.text}


class _Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP as one message takes."""

    lines: list[str]
    answers: ClassVar = {"DATA": b"354 go\r\n", "QUIT": b"221 bye\r\n"}

    def handle(self) -> None:
        self.wfile.write(b"220 ready\r\n")
        while line := self.rfile.readline().decode().strip().upper():
            self.wfile.write(
                {"DATA": b"354 go\r\n", "QUIT": b"221 bye\r\n"}.get(line, b"250 ok\r\n")
            )
            if line == "QUIT":
                return
            if line == "DATA":
                while (text := self.rfile.readline().decode().strip()) != ".":
                    self.lines.append(text)
                self.wfile.write(b"250 kept\r\n")


def test_email_gets_one_message(
    recipe: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe("alert_email")
    _Mailbox.lines = []
    with socketserver.TCPServer(("127.0.0.1", 0), _Mailbox) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("ALERT_EMAIL", "team@example.org")
        monkeypatch.setenv("SMTP_HOST", f"127.0.0.1:{server.server_address[1]}")
        choose_alert()(ALERT)
        thread.join()
    assert "Subject: ecg-assets: run failed: predictions [tiny]" in _Mailbox.lines
    assert "partition: tiny" in _Mailbox.lines


@pytest.mark.parametrize(
    "name",
    [
        *("slack", "pager", "sys:", "sys:version", "pathlib:Path.nothing", "ecg_raises:send"),
        *(f"{alerts.__name__}:{name}" for name in ("nothing", "PARTITION_TAG", "choose_alert")),
    ],
)
def test_what_is_no_function_of_an_alert_is_refused_when_definitions_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "ecg_raises.py").write_text("raise ZeroDivisionError('of the module')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ECG_ALERT", name)
    with pytest.raises(SettingsError, match=f"ECG_ALERT is '{name}'.*module:function"):
        build_definitions()


@pytest.mark.parametrize("name", ["builtins:print", "logging:getLogger"])
def test_any_function_of_one_argument_will_do(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("ECG_ALERT", name)
    assert callable(choose_alert())
