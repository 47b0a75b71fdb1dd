"""A PostgreSQL server of a test's own, from Debian's postgresql, on 127.0.0.1."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from ecg_assets_tests.defs.sessions import free_port

PASSWORD = "p@ss:w/rd?%"
"""Of letters that mean something in a URL."""
QUOTED = "p%40ss%3Aw%2Frd%3F%25"
OPTIONS = "-c fsync=off -c full_page_writes=off -c listen_addresses=127.0.0.1"


def _find_user() -> str | None:
    names = {user.pw_name for user in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def find_programs() -> Path | None:
    """Find the folder of initdb, pg_ctl and postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def find_obstacle() -> str:
    """Say why no server can be started here; empty where one can."""
    if find_programs() is None:
        return "no PostgreSQL server is installed (Debian's postgresql)"
    if find_spec("dagster_postgres") is None:
        return "dagster-postgres is not installed (extra postgres)"
    return "" if os.geteuid() or _find_user() else "PostgreSQL does not run as root"


POSTGRES = [
    pytest.mark.postgres,
    pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle()),
]
"""Marks of a test that needs a server."""


@dataclass(frozen=True)
class Server:
    """A running server; its one role may do everything."""

    port: int

    def url(self, database: str) -> str:
        """Name a database as a user would."""
        return f"postgresql://postgres:{QUOTED}@127.0.0.1:{self.port}/{database}"

    def create_database(self) -> str:
        """Make an empty one, and give its URL."""
        name = f"ecg_{secrets.token_hex(4)}"
        url = self.url("postgres").replace("postgresql://", "postgresql+psycopg2://")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)


@contextmanager
def postgres() -> Iterator[Server]:
    """Start a server, and end it."""
    programs = find_programs()
    assert programs is not None
    user = None if os.geteuid() else _find_user()
    port = free_port()
    # Not in pytest's folder, which is for its user alone.
    with tempfile.TemporaryDirectory(prefix="postgres", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data = str(folder / "data")

        def call(program: str, *arguments: str) -> None:
            command = [str(programs / program), "-D", data, *arguments]
            with (folder / "log").open("ab") as log:
                ended = subprocess.call(command, cwd=folder, user=user, stdout=log, stderr=log)
            assert ended == 0, (folder / "log").read_text(errors="replace")[-2000:]

        role = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={folder}/password"]
        call("initdb", "--no-sync", *role)
        call("pg_ctl", "-w", "-o", f"{OPTIONS} -p {port} -k {folder}", "start")
        try:
            yield Server(port)
        finally:
            call("pg_ctl", "-w", "-m", "immediate", "stop")
