"""The UI and the daemon on one instance: ``python -m ecg_assets.defs.ui``, or ``make ui``.

Dagster's webserver runs whatever it is asked to, and has no users: it listens on this machine
alone, and answers only requests that name it by a known host. Without that, any page that is open
in the same browser could start runs.
"""

from __future__ import annotations

import argparse
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from dagster_webserver.cli import cli
from dagster_webserver.webserver import DagsterWebserver
from filelock import FileLock, Timeout
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from ecg_assets.defs.command_line import dagster_home, run_command
from ecg_assets.defs.instance import open_instance, sole_daemon
from ecg_assets.defs.settings import CodeLocation
from ecg_assets.errors import SettingsError

HOSTS = ("127.0.0.1", "localhost", "[::1]")
"""Names by which this machine calls itself, also at the near end of an SSH tunnel."""

LOCK = ".ui.lock"
"""Held in DAGSTER_HOME by who runs the daemon; two would start the same runs."""


class SameOrigin:
    """ASGI middleware that refuses what a page of another site asked for.

    A browser says where a request comes from: in ``Origin`` for all that can change something,
    and in ``Sec-Fetch-Site``. Opening a page of the UI from a link elsewhere stays possible.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to a request from another origin; pass on any other."""
        if scope["type"] not in {"http", "websocket"} or _is_of_this_site(scope):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("Refused: the request came from a page of another site.", 403)
        await refusal(scope, receive, send)


def _is_of_this_site(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers.get("host")
    is_from_elsewhere = headers.get("sec-fetch-site") in {"cross-site", "same-site"}
    is_a_link = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") == "GET"
    return not is_from_elsewhere or (is_a_link and not scope["path"].endswith("/graphql"))


def guards(hosts: Iterable[str]) -> list[Middleware]:
    """Middleware that refuses other hosts (400) and requests of other sites (403)."""
    return [
        Middleware(TrustedHostMiddleware, allowed_hosts=[*HOSTS, *hosts], www_redirect=False),
        Middleware(SameOrigin),
    ]


def serve(hosts: Iterable[str], arguments: list[str]) -> None:
    """Run Dagster's webserver behind the guards."""
    of_dagster = DagsterWebserver.build_middleware

    def build_middleware(server: DagsterWebserver[Any, Any]) -> list[Middleware]:
        return [*guards(hosts), *of_dagster(server)]

    DagsterWebserver.build_middleware = build_middleware  # type: ignore[method-assign, assignment]
    cli(arguments, standalone_mode=False)


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that something listens on.

    Raises
    ------
    SettingsError
        When it is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SettingsError(
                f"Port {port} of {host} cannot be used ({error.strerror}). Another UI may be "
                f"running: open http://{host}:{port}, or choose another port: "
                f"make ui PORT={port + 1}."
            ) from error


def main() -> int:
    """Serve until interrupted; the daemon ends with the webserver."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--workspace", default="workspace.yaml")
    parser.add_argument("--read-only", action="store_true", help="nothing can be started")
    parser.add_argument("--no-daemon", action="store_true", help="the daemon runs elsewhere")
    options = parser.parse_args()
    host = "127.0.0.1"
    hosts = CodeLocation().ui_hosts
    home = dagster_home()
    workspace = ["--workspace", options.workspace]
    arguments = ["--host", host, "--port", str(options.port), *workspace]
    lock = FileLock(home / LOCK)
    try:
        require_free_port(host, options.port)
        with open_instance() as instance:
            if options.read_only or options.no_daemon:
                serve(hosts, [*arguments, *(["--read-only"] if options.read_only else [])])
                return 0
            with lock.acquire(blocking=False), sole_daemon(instance):
                _serve_with_daemon(hosts, arguments, workspace)
    except Timeout as error:
        raise SettingsError(
            f"Another UI runs the daemon of {home}: two would start the same runs. Stop it, give "
            "this one a DAGSTER_HOME of its own, or only look: add --read-only."
        ) from error
    return 0


def _serve_with_daemon(hosts: list[str], arguments: list[str], workspace: list[str]) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    daemon = subprocess.Popen([sys.executable, "-m", "dagster._daemon", "run", *workspace])
    try:
        serve(hosts, arguments)
    except KeyboardInterrupt:
        pass
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.wait()


if __name__ == "__main__":
    sys.exit(run_command(main))
