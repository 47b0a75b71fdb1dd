"""What the UI answers, and what pages of other sites cannot make it do."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from ecg_assets.defs import ui
from ecg_assets.defs.ui import LOCK, guards
from ecg_assets_tests.defs.sessions import free_port

ROOT = Path(__file__).resolve().parents[2]
UI = "http://127.0.0.1:3000"


@pytest.fixture(scope="module")
def client() -> TestClient:
    """The guards before something that answers all."""

    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse("answered")

    routes = [Route("/{path:path}", answer, methods=["GET", "POST"])]
    app = Starlette(routes=routes, middleware=guards(["ui.example.org"]))
    return TestClient(app, base_url=UI)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": UI, "sec-fetch-site": "same-origin"},
        {"host": "localhost:8080", "origin": "http://localhost:8080"},
        {"host": "[::1]:3000"},
        {"host": "ui.example.org", "origin": "https://ui.example.org"},
        {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"},
    ],
    ids=["a program", "the page itself", "a tunnel", "IPv6", "a named host", "typed"],
)
def test_the_ui_itself_is_answered(client: TestClient, headers: dict[str, str]) -> None:
    assert client.post("/graphql", headers=headers).text == "answered"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 403),
        ({"host": "evil.example"}, 400),
        ({"host": "127.0.0.1.evil.example:3000"}, 400),
    ],
    ids=["origin", "null", "other port", "image", "form", "rebound name", "longer name"],
)
def test_other_sites_are_refused(client: TestClient, headers: dict[str, str], status: int) -> None:
    """As text/plain with the query in the address, which needs no leave from the browser."""
    found = client.post(
        "/graphql?query=mutation{launch}", headers={"content-type": "text/plain", **headers}
    )
    assert found.status_code == status
    assert client.get("/graphql?query=mutation{launch}", headers=headers).status_code == status


def test_a_link_elsewhere_opens_a_page(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/runs", headers=headers).text == "answered"


def _start(home: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ecg_assets.defs.ui", "--port", str(port)],
        cwd=home,
        env={"DAGSTER_HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_taken_port_is_said_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = _start(tmp_path, port)
    assert ended.returncode == 1
    assert f"Port {port} of 127.0.0.1 cannot be used" in ended.stderr
    assert f"make ui PORT={port + 1}" in ended.stderr


def test_one_daemon_an_instance(tmp_path: Path) -> None:
    port = free_port()
    with FileLock(tmp_path / LOCK):
        ended = _start(tmp_path, port)
    assert ended.returncode == 1
    assert "Another UI runs the daemon" in ended.stderr


def test_without_a_daemon_it_serves_beside_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[list[str]] = []
    monkeypatch.setattr(ui, "serve", lambda hosts, arguments: served.append(arguments))
    monkeypatch.setattr(ui, "require_free_port", lambda host, port: None)
    monkeypatch.setattr(subprocess, "Popen", None)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["ui", "--no-daemon"])
    with FileLock(tmp_path / LOCK):
        assert ui.main() == 0
    assert served == [["--host", "127.0.0.1", "--port", "3000", "--workspace", "workspace.yaml"]]
