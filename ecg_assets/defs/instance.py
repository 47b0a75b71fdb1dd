"""Where Dagster's instance keeps runs, events and schedules: ECG_POSTGRES_URL, or SQLite files.

`dagster_home/dagster.yaml` names `Instance`, and Dagster asks it for the storage to take. What it
answers is part of what Dagster hands to the processes that it starts, without the URL: each reads
that from its own environment, and one that lacks it fails. Those that are started by hand are
told by a file in DAGSTER_HOME.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.base_storage import DagsterStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ecg_assets.errors import SettingsError

VARIABLE = "ECG_POSTGRES_URL"
MARKER = ".in_postgresql"
"""In DAGSTER_HOME once runs were kept in PostgreSQL: without the variable, they are not there."""

DRIVER = "postgresql+psycopg2"
"""The one that dagster-postgres uses; SQLAlchemy 2.1 takes another where none is named."""

DAEMON_LOCK = 3_248_115
"""Number of the database's advisory lock that is held by who runs the daemon."""


def read_postgres_url() -> URL | None:
    """Read ECG_POSTGRES_URL; None where it is not set, or empty.

    Raises
    ------
    SettingsError
        When it is no URL of a PostgreSQL database. What it holds is not quoted: a password.
    """
    if not (said := os.environ.get(VARIABLE, "").strip()):
        return None
    try:
        url = make_url(said)
    except (ArgumentError, ValueError):
        raise _no_url("It cannot be read as a URL.") from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise _no_url("It does not begin with postgresql://.")
    if "@" in (url.host or ""):
        raise _no_url("There are two @.")
    if not url.database:
        raise _no_url("The database's name is missing.")
    return url.set(drivername=DRIVER)


def _no_url(why: str) -> SettingsError:
    return SettingsError(
        f"{VARIABLE} names no PostgreSQL database. {why} Expected: user:password@host:5432/name "
        "after postgresql://, with the letters @ : / ? # % of a password as %40 %3A %2F %3F %23 "
        "%25."
    )


def describe_database(url: URL) -> str:
    """Say which database it is, without a password.

    >>> describe_database(make_url("postgresql://me:secret@db.org/ecg"))
    'ecg at db.org:5432'
    """
    host = url.host or url.query.get("host") or "the local socket"
    return f"{url.database} at {host}:{url.port or 5432}"


class Instance(dg.DagsterInstance):
    """Dagster's instance, in PostgreSQL where ECG_POSTGRES_URL is set."""

    @classmethod
    def config_schema(cls) -> Mapping[str, Any]:
        """Name fields of its own in dagster.yaml: none."""
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Mapping[str, ConfigurableClassData | None]:
        """Give what Dagster takes where dagster.yaml says nothing.

        Raises
        ------
        SettingsError
            When the runs of this DAGSTER_HOME are in PostgreSQL, and the variable is not set.
        """
        defaults = InstanceRef.config_defaults(base_dir)
        if read_postgres_url() is None:
            _require_unmarked(Path(base_dir))
            return defaults
        storage = ConfigurableClassData(
            __name__, PostgresStorage.__name__, yaml.safe_dump({"home": base_dir})
        )
        return {**defaults, "storage": storage}


def _require_unmarked(home: Path) -> None:
    if (home / MARKER).is_file():
        raise SettingsError(
            f"The runs of {home} are in PostgreSQL ({(home / MARKER).read_text().strip()}), and "
            f"{VARIABLE} is not set here. Set it, or start the command in the folder of the .env "
            f"that does (.venv/bin/python -m dotenv run -- COMMAND where the command does not "
            f"read it). To go back to SQLite, delete {home / MARKER}."
        )


class PostgresStorage(DagsterStorage, ConfigurableClass):
    """Opens Dagster's own PostgreSQL storage at ECG_POSTGRES_URL; it has no instance itself."""

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """Declare what stands in an instance's description: the folder alone."""
        return {"home": str}

    @classmethod
    def from_config_value(  # type: ignore[override]  # as in Dagster's own storages
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> DagsterStorage:
        """Open the database; its tables are made where it is empty.

        Raises
        ------
        SettingsError
            When the variable is not set, the extra is missing, or the database cannot be opened.
        """
        url = read_postgres_url()
        if url is None:
            raise SettingsError(
                f"Whoever started this process keeps its runs in PostgreSQL, and {VARIABLE} is not "
                "set here. Set it for every process that Dagster starts: code servers, too."
            )
        storage = _open(url)
        marker = Path(config_value["home"]) / MARKER
        if not marker.is_file():
            marker.write_text(f"{describe_database(url)}\n", encoding="utf-8")
        return storage


def _open(url: URL) -> DagsterStorage:
    try:
        from dagster_postgres import DagsterPostgresStorage
        from dagster_postgres.utils import DagsterPostgresException
    except ImportError as error:
        raise SettingsError(
            f"{VARIABLE} is set, and dagster-postgres is not installed here ({error}): "
            "make install EXTRAS=dev,postgres, or pip install 'ecg-assets[postgres]'."
        ) from None
    try:
        storage: DagsterStorage = DagsterPostgresStorage(url.render_as_string(hide_password=False))
        return storage
    except (DagsterPostgresException, SQLAlchemyError) as error:
        said = error.__cause__ if isinstance(error, DagsterPostgresException) else error
        why = str(getattr(said, "orig", None) or said).strip()
    if url.password:
        why = why.replace(str(url.password), "***")
    raise SettingsError(
        f"{VARIABLE}: the database {describe_database(url)} cannot be opened as {url.username}: "
        f"{why}\nCheck that the server runs and is reached from here, and that role, password and "
        "database are right (docs/running.md, PostgreSQL)."
    )


def is_in_postgres(instance: dg.DagsterInstance) -> bool:
    """Tell whether an instance keeps its runs in PostgreSQL."""
    return type(instance.run_storage).__module__.startswith("dagster_postgres")


def require_storage(instance: dg.DagsterInstance) -> None:
    """Refuse an instance in SQLite while ECG_POSTGRES_URL is set.

    Raises
    ------
    SettingsError
        When dagster.yaml is not that of this project, so that nothing asked for the variable.
    """
    if read_postgres_url() is not None and not is_in_postgres(instance):
        found = Path(instance.root_directory) / "dagster.yaml"
        raise SettingsError(
            f"{VARIABLE} is set, and runs of this instance would not go there: {found} "
            "does not name ecg_assets.defs.instance, or has a storage of its own. Write into it, "
            "and take out any storage:\n"
            f"instance_class: {{module: {__name__}, class: {Instance.__name__}}}"
        )


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """Open the instance of DAGSTER_HOME in the storage that the settings say."""
    with dg.DagsterInstance.get() as instance:
        require_storage(instance)
        yield instance


@contextmanager
def sole_daemon(instance: dg.DagsterInstance) -> Iterator[None]:
    """Be the only one that runs the daemon on a PostgreSQL database; others start the same runs.

    Raises
    ------
    SettingsError
        When another does, on whatever machine.
    """
    if not is_in_postgres(instance):
        yield
        return
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        lock = text("SELECT pg_try_advisory_lock(:number)")
        if not connection.scalar(lock, {"number": DAEMON_LOCK}):
            raise SettingsError(
                "Another UI, maybe on another machine, runs the daemon of this database: two would "
                "start the same runs. Use that one through a tunnel, or only look: add --read-only."
            )
        yield
