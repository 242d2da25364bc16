"""A hot statement in its leanest form: values in binary, one round trip, one value back.

psycopg looks up how to adapt each value, prepares by what it has seen, and makes a cursor of the answer; for a single
append that costs as much as the client's whole remaining share. Here the statement's text says the types, the caller
encodes, and libpq (`psycopg.pq`) prepares once a connection. Waiting stays psycopg's, so that Ctrl-C still works.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import generators, pq
from psycopg.abc import PQGen
from psycopg.errors import InvalidSqlStatementName, error_from_result

from penstock.postgres.pool import Connection
from penstock.postgres.public_schema import moved_text

_BINARY: Final = 1
_PREPARED = "penstock_prepared"


@dataclass(frozen=True, slots=True)
class Statement:
    """Its text says the type of each value (`$1::text`), and answers one value; its name is for preparing it."""

    name: LiteralString
    text: LiteralString


def send(postgres: pq.abc.PGconn, statement: Statement, values: Sequence[bytes], *, prepared: bool) -> None:
    """Send it and do not wait; all answers will be in binary."""
    formats = [_BINARY] * len(values)
    if prepared:
        postgres.send_query_prepared(statement.name.encode(), values, formats, _BINARY)
    else:
        postgres.send_query_params(moved_text(statement.text).encode(), values, None, formats, _BINARY)


def in_autocommit(connection: Connection) -> bool:
    """Whether what is sent now is a transaction of its own, and answered at once."""
    postgres = connection.pgconn
    idle = postgres.transaction_status == pq.TransactionStatus.IDLE
    return idle and connection.autocommit and not postgres.pipeline_status


def fetch_value(connection: Connection, statement: Statement, values: Sequence[bytes]) -> bytes:
    """The answer, in binary, of a statement in autocommit. Raises psycopg's errors."""
    with connection.lock:
        try:
            return connection.wait(_ask(connection, statement, values))
        except InvalidSqlStatementName:  # psycopg has dropped all that was prepared, as it does after a rollback
            vars(connection)[_PREPARED].clear()
            return connection.wait(_ask(connection, statement, values))


def _ask(connection: Connection, statement: Statement, values: Sequence[bytes]) -> PQGen[bytes]:
    postgres = connection.pgconn
    prepares = connection.prepare_threshold is not None
    known: set[str] = vars(connection).setdefault(_PREPARED, set())
    if prepares and statement.name not in known:
        postgres.send_prepare(statement.name.encode(), moved_text(statement.text).encode())
        _succeeded((yield from generators.execute(postgres)))
        known.add(statement.name)
    send(postgres, statement, values, prepared=prepares)
    return _succeeded((yield from generators.execute(postgres))).get_value(0, 0) or b""


def _succeeded(results: Sequence[pq.abc.PGresult]) -> pq.abc.PGresult:
    (result,) = results
    if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
        raise error_from_result(result)
    return result
