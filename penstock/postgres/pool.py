"""Postgres: one pool of connections a process, transactions, and errors in the project's words.

Every driver error leaves as a `PenstockError`, chosen by SQLSTATE alone. Behind a transaction pooler (Supabase's on
port 6543, PgBouncer on any) no statement is prepared and nothing is kept in a session; so nothing relies on either.
"""

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString, TypeAlias

import psycopg
from psycopg import conninfo
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from penstock import errors, stored_json
from penstock.postgres.public_schema import cursor_options
from penstock.postgres.sqlstates import translate_errors
from penstock.settings import Settings

Connection: TypeAlias = psycopg.Connection[TupleRow]

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
        opened = psycopg.connect(database_url, **connect_options(database_url), **cursor_options())
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
                kwargs={**connect_options(database_url), **cursor_options()},
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
    """What every connection gets: any stored JSON is readable; behind a pooler nothing is prepared, else no JIT.

    To compile a statement takes longer than most of ours run: an import of two lines took two seconds of it. A
    session behind a pooler is not ours to set; the heavy transactions and SQL functions switch it off for themselves.
    """
    set_json_loads(stored_json.loads, opened)
    if opened.prepare_threshold is not None:
        row = opened.execute(ASK_SESSION).fetchone()
        if row and is_pooled(opened.info, row[0]):
            opened.prepare_threshold = None
        else:
            opened.execute("set jit = off")


def _check_alive(borrowed: Connection) -> None:
    # An idle connection has nothing to read unless the server said goodbye: no round trip while all is well.
    if select.select([borrowed.fileno()], [], [], 0)[0]:
        borrowed.execute("")
