"""One throw-away Postgres for a test session, and databases cloned from migrated templates.

`PACKAGE` has the package's migrations and nothing else, `TICKETS` the tables of the tests' own small domain too,
`EVERYTHING` those of the sample domain.

`TEST_DATABASE_URL` names a running server to use instead (a superuser's DSN, as CI does for Debian's 15).
Workers of pytest-xdist share the server: who comes first starts it, under a file lock; the controlling process
stops it. A session that was killed leaves its server behind, and the next session sweeps it away.
"""

import fcntl
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from penstock.local.postgres import EmbeddedPostgres
from penstock.local.testing import CARELESS, PREFIX, make_run_folder, remove_run_folder
from penstock.postgres import migrations

FOLDER_VARIABLE = "PENSTOCK_TEST_SESSION"
Migrations = Literal["package", "tickets", "everything"]
PACKAGE: Final = "package"
TICKETS: Final = "tickets"
EVERYTHING: Final = "everything"
TICKET_TABLES = Path(__file__).parent / "tickets.sql"
TICKET_MIGRATION = "99990101000000_tickets"
SETTINGS = {
    **CARELESS,
    "max_connections": "200",
    "max_prepared_transactions": "10",
    "max_wal_size": "512MB",
}


def open_session() -> None:
    """Called once, by the controlling process, before its workers start."""
    os.environ[FOLDER_VARIABLE] = str(make_run_folder())


def close_session() -> None:
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    if "TEST_DATABASE_URL" in os.environ:
        for template in folder.glob("template-*"):
            drop_database(os.environ["TEST_DATABASE_URL"], template.read_text())
    remove_run_folder(folder)


def admin_url() -> str:
    """A superuser's DSN of the session's server, started if need be."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        return given
    with _session_lock() as folder:
        return _cluster(folder).start("postgres")


def template_database(wanted: Migrations = PACKAGE) -> str:
    """The name of the session's template, made at the first call."""
    server = admin_url()
    with _session_lock() as folder:
        marker = folder / f"template-{wanted}"
        if not marker.exists():
            name = f"penstock_template_{uuid.uuid4().hex[:12]}"
            _execute(server, sql.SQL("create database {}").format(sql.Identifier(name)))
            migrate(make_conninfo(server, dbname=name), wanted)
            marker.write_text(name)
        return marker.read_text()


def migrate(url: str, wanted: Migrations = PACKAGE) -> None:
    with psycopg.connect(url, autocommit=True) as connection, _migrations_folder(wanted) as folder:
        migrations.migrate(connection, folder=folder)


@contextmanager
def _migrations_folder(wanted: Migrations) -> Iterator[Path | None]:
    """What is applied beside the package's own."""
    if wanted == PACKAGE:
        yield None
    elif wanted == EVERYTHING:
        yield migrations.REPOSITORY
    else:
        with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
            shutil.copy(TICKET_TABLES, Path(name, f"{TICKET_MIGRATION}.sql"))
            yield Path(name)


@contextmanager
def cloned_database(wanted: Migrations = PACKAGE) -> Iterator[str]:
    """The DSN of a fresh clone of a template, dropped at the end with all its sessions."""
    with fresh_database(template_database(wanted)) as url:
        yield url


@contextmanager
def fresh_database(template: str = "template1") -> Iterator[str]:
    name = f"penstock_test_{uuid.uuid4().hex[:16]}"
    statement = sql.SQL("create database {} template {} strategy file_copy")
    _execute(admin_url(), statement.format(sql.Identifier(name), sql.Identifier(template)))
    try:
        yield _url(admin_url(), name)
    finally:
        drop_database(admin_url(), name)


def drop_database(server: str, name: str) -> None:
    _execute(server, sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def _execute(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def _url(server: str, name: str) -> str:
    """Settings want a URL, so the name is exchanged in place."""
    base, _, query = server.partition("?")
    return f"{base.rpartition('/')[0]}/{name}{'?' + query if query else ''}"


def _cluster(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / "postgres", settings=SETTINGS)


@contextmanager
def _session_lock() -> Iterator[Path]:
    folder = Path(os.environ[FOLDER_VARIABLE])
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
