"""Postgres: one pool of connections a process, transactions, migrations, and errors in the project's words.

Every driver error leaves as a `PenstockError`, chosen by SQLSTATE alone. Behind a transaction pooler (Supabase's on
port 6543, PgBouncer on any) no statement is prepared and nothing is kept in a session; so nothing relies on either.
"""

import json
import re
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import conninfo
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from penstock import errors, stored_json
from penstock.postgres.former_layout import refuse_former_layout
from penstock.settings import Settings

Connection: TypeAlias = psycopg.Connection[TupleRow]

MIGRATIONS = Path(__file__).parents[2] / "supabase" / "migrations"
TRANSACTION_POOLER_PORT = "6543"
CONNECT_TIMEOUT_SECONDS = 10
POOL_SIZE = 16

_pools: dict[str, ConnectionPool[Connection]] = {}
_pools_lock = threading.Lock()


@contextmanager
def connection(settings: Settings) -> Iterator[Connection]:
    """Borrow an autocommit connection from the process' pool; driver errors leave as `PenstockError`."""
    with translate_errors():
        try:
            with pool(settings.database_url).connection() as borrowed:
                yield borrowed
        except PoolTimeout as error:
            raise errors.DatabaseUnavailable("Postgres gave no connection in time", retry_after=2) from error


@contextmanager
def transaction(settings: Settings) -> Iterator[Connection]:
    """Borrow a connection for one transaction (read committed): commits at the end, or rolls back."""
    with connection(settings) as borrowed, borrowed.transaction():
        yield borrowed


def connect(database_url: str) -> Connection:
    """Open an autocommit connection outside the pool, for scripts and long work."""
    with translate_errors():
        opened = psycopg.connect(database_url, **connect_options(database_url))
        try:
            _set_up(opened)
        except psycopg.Error:
            opened.close()
            raise
        return opened


def pool(database_url: str) -> ConnectionPool[Connection]:
    """The process' pool for one database. Opens no connection before the first is asked for."""
    with _pools_lock:
        if database_url not in _pools:
            _pools[database_url] = ConnectionPool(
                database_url,
                kwargs=connect_options(database_url),
                min_size=0,
                max_size=POOL_SIZE,
                timeout=CONNECT_TIMEOUT_SECONDS,
                configure=_set_up,
                check=_check_alive,
                open=True,
            )
        return _pools[database_url]


def close_pools() -> None:
    """Close what `pool` opened; at the end of a process or a test."""
    with _pools_lock:
        while _pools:
            _pools.popitem()[1].close()


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn a driver error into the project's own, chosen by SQLSTATE."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error


def translate(error: psycopg.Error) -> Exception:
    """The project's error for a driver error, or the driver error itself if it is a bug of ours."""
    state = error.sqlstate or ""
    make = _BY_SQLSTATE.get(state) or _BY_CLASS.get(state[:2])
    if make:
        return make(error)
    if not state and isinstance(error, psycopg.OperationalError):
        return _unreachable(error)
    if not state and isinstance(error, psycopg.DataError):  # the driver could not even send it: a NUL in a text
        return errors.InvalidInput(_message(error))
    return error


def migrate(
    connection: Connection, *, timezone: str = "UTC", earliest_day: date = date(1990, 1, 1), folder: Path = MIGRATIONS
) -> list[str]:
    """Apply the migrations that are missing, each in a transaction; returns their names.

    Keeps the books where the Supabase CLI keeps them, so that either may go on where the other stopped. Raises
    `Conflict` if a migration that this function applied has been edited since, or if the layout is the former one.
    """
    with translate_errors():
        refuse_former_layout(connection)
        connection.execute(_MIGRATION_LEDGER)
        done = []
        with connection.transaction():
            connection.execute("lock table supabase_migrations.schema_migrations in exclusive mode")
            known: dict[str, list[str] | None] = dict(
                connection.execute("select version, statements from supabase_migrations.schema_migrations").fetchall()
            )
            for path in sorted(folder.glob("*.sql")):
                version, _, name = path.stem.partition("_")
                if version in known:
                    _refuse_edited(path, known[version])
                else:
                    _apply(connection, path, version, name)
                    done.append(path.stem)
        connection.execute(
            "update penstock.configuration set timezone = %(zone)s, earliest_day = %(day)s"
            " where (timezone, earliest_day) <> (%(zone)s, %(day)s)",
            {"zone": timezone, "day": earliest_day},
        )
        return done


def pending_migrations(connection: Connection, folder: Path = MIGRATIONS) -> list[str]:
    """The names of the migrations that `migrate` would apply."""
    with translate_errors():
        if connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone() == (None,):
            return [path.stem for path in sorted(folder.glob("*.sql"))]
        rows = connection.execute("select version from supabase_migrations.schema_migrations").fetchall()
    known = {version for (version,) in rows}
    return [path.stem for path in sorted(folder.glob("*.sql")) if path.stem.partition("_")[0] not in known]


_MIGRATION_LEDGER = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text not null primary key, statements text[], name text
)
"""


def _refuse_edited(path: Path, statements: list[str] | None) -> None:
    # Our own entries are the whole file, down to its last line end; the Supabase CLI's are trimmed statements.
    whole = statements[0] if statements and len(statements) == 1 and statements[0].endswith("\n") else None
    if whole and whole != path.read_text(encoding="utf-8"):
        raise errors.Conflict(
            f"{path.name} has been edited since it was applied to this database: restore the file, or start from an"
            " empty database (locally: make clean)"
        )


def _apply(connection: Connection, path: Path, version: str, name: str) -> None:
    text = path.read_text(encoding="utf-8")
    try:
        connection.execute(text.encode())
    except psycopg.Error as error:
        error.add_note(f"in migration {path.name}")
        raise
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
        (version, name, [text]),
    )


def connect_options(database_url: str) -> dict[str, Any]:
    pooled = conninfo.conninfo_to_dict(database_url).get("port") == TRANSACTION_POOLER_PORT
    return {
        "autocommit": True,
        "prepare_threshold": None if pooled else 2,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "application_name": "penstock",
    }


ASK_SESSION: LiteralString = "select pg_catalog.pg_backend_pid()"


def is_pooled(info: psycopg.ConnectionInfo, session: int) -> bool:
    """Whether a pooler is between this client and Postgres: `session` is what `ASK_SESSION` answers.

    Postgres gives a new client the number of its session, to cancel by. A pooler has to give one of its own, since the
    session may be another for each transaction. One that keeps the session looks the same: prepared statements
    would work there, but nothing fails without them.
    """
    return info.backend_pid != session


def _set_up(opened: Connection) -> None:
    """What every connection gets: any stored JSON is readable; behind a pooler nothing is prepared."""
    set_json_loads(stored_json.loads, opened)
    if opened.prepare_threshold is not None:
        row = opened.execute(ASK_SESSION).fetchone()
        if row and is_pooled(opened.info, row[0]):
            opened.prepare_threshold = None


def _check_alive(borrowed: Connection) -> None:
    # An idle connection has nothing to read unless the server said goodbye: no round trip while all is well.
    if select.select([borrowed.fileno()], [], [], 0)[0]:
        borrowed.execute("")


def _detail(error: psycopg.Error) -> dict[str, Any]:
    text = error.diag.message_detail or ""
    return json.loads(text) if text.startswith("{") else {}


def _message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0]


def _version_conflict(error: psycopg.Error) -> errors.PenstockError:
    detail = _detail(error)
    expected = {0: "no_stream", -1: "any", -2: "stream_exists"}.get(detail["expected"], detail["expected"])
    return errors.VersionConflict(_message(error), expected=expected, actual=detail["actual"])


def _repeated(error: psycopg.Error) -> Exception:
    """An event id that somebody appended to another stream at this very moment; else a bug of ours."""
    if error.diag.constraint_name != "event_store_id_key":
        return error
    return errors.EventIdReused("an event id of this call is taken by an event of another stream")


def _invalid(error: psycopg.Error) -> errors.PenstockError:
    column = error.diag.column_name or error.diag.constraint_name
    return errors.InvalidInput(_message(error), **({"column": column} if column else {}))


def _unreachable(error: psycopg.Error) -> errors.PenstockError:
    reason = re.sub(r"\s+", " ", _message(error)).strip()
    return errors.DatabaseUnavailable(f"Postgres cannot be reached: {reason}", retry_after=2)


def _passing(error: psycopg.Error) -> errors.PenstockError:
    return errors.Unavailable(f"{_message(error)}: try again", retry_after=1)


def _read_only(error: psycopg.Error) -> errors.PenstockError:
    return errors.DatabaseReadOnly(
        f"the database is read-only at the moment, nothing was written: {_message(error)}", retry_after=60
    )


def _positions_behind(error: psycopg.Error) -> errors.PenstockError:
    message = f"{_message(error)} (select ops.raise_positions())"
    return errors.PositionsBehind(message, retry_after=60, **_detail(error))


_BY_SQLSTATE: dict[str, Callable[[psycopg.Error], Exception]] = {
    "PK001": _version_conflict,
    "PK002": lambda error: errors.EventIdReused(_message(error)),
    "PK003": lambda error: errors.PartialRepeat(_message(error), **_detail(error)),
    "PK004": lambda error: errors.InvalidInput(_message(error)),
    "PK006": lambda error: errors.Conflict(_message(error)),
    "PK007": lambda error: errors.NotFound(_message(error)),
    "PK008": _positions_behind,
    "23502": _invalid,
    "23505": _repeated,
    "23514": _invalid,
    "25006": _read_only,
    "57014": _passing,
    "55P03": _passing,
}
_BY_CLASS: dict[str, Callable[[psycopg.Error], Exception]] = {
    "08": _unreachable,
    "22": _invalid,
    "28": _unreachable,
    "3D": _unreachable,
    "40": _passing,
    "53": _passing,
    "57": _unreachable,
}
