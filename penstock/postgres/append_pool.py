"""One hot statement on an event loop: a few connections, each with one statement in flight.

For single appends over HTTP, where handing the work to a thread costs more than the append, and psycopg's own waiting,
which registers with the loop for each statement, half as much. psycopg connects; then `psycopg.pq`, which is libpq
itself, sends and reads, with one reader on the loop for as long as a connection lives. What goes over the wire is
the same: each statement is a transaction of its own, and behind the transaction pooler none is prepared.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result
from psycopg.rows import TupleRow

from penstock.errors import DatabaseUnavailable
from penstock.postgres.pool import ASK_SESSION, connect_options, is_pooled
from penstock.postgres.prepared import Statement, send
from penstock.postgres.public_schema import moved_text
from penstock.postgres.sqlstates import translate

MAX_CONNECTIONS: Final = 16
MAX_QUEUED: Final = 1000
ACQUIRE_TIMEOUT_SECONDS = 5.0
MAX_IDLE_SECONDS = 300.0
_WATCH_SECONDS: Final = 0.5

_Connection: TypeAlias = psycopg.AsyncConnection[TupleRow]


@dataclass(slots=True)
class _Request:
    values: Sequence[bytes]
    answer: asyncio.Future[bytes]
    since: float


def fetch_value(database_url: str, statement: Statement, values: Sequence[bytes]) -> asyncio.Future[bytes]:
    """Send the statement with its values in binary; its answer, in binary, comes when Postgres has committed.

    The future raises what `sqlstates.translate` makes of an error. `DatabaseUnavailable` means: the connection broke,
    and the outcome is unknown; or nothing was sent, since Postgres took no connection, none was free within
    `ACQUIRE_TIMEOUT_SECONDS`, or too many requests wait already. Cancelling the future does not stop what was sent.
    """
    loop = asyncio.get_running_loop()
    pools_of_loop = _of_loops.get(loop)
    if pools_of_loop is None:
        pools_of_loop = _of_loops[loop] = {}
    pool = pools_of_loop.get((database_url, statement.name))
    if pool is None:
        pool = pools_of_loop[database_url, statement.name] = _AppendPool(database_url, statement)
    return pool.fetch_value(_Request(values, loop.create_future(), monotonic()))


def close_append_pools() -> None:
    """Close what the running loop has opened; at the end of a server."""
    for pool in _of_loops.pop(asyncio.get_running_loop(), {}).values():
        pool.close()


class _AppendPool:
    """The oldest request is next, on the connection that was busy last; more are opened while requests wait."""

    def __init__(self, database_url: str, statement: Statement) -> None:
        self._url = database_url
        self._statement = statement
        self._queued: deque[_Request] = deque()
        self._open: set[_PooledConnection] = set()
        self._idle: list[_PooledConnection] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._open_again_at = 0.0
        self._watched = False

    def fetch_value(self, request: _Request) -> asyncio.Future[bytes]:
        if len(self._queued) >= MAX_QUEUED:
            raise DatabaseUnavailable("too many requests wait for a connection to Postgres", retry_after=2)
        self._queued.append(request)
        self._serve()
        return request.answer

    def done(self, pooled: "_PooledConnection") -> None:
        self._idle.append(pooled)
        self._serve()

    def lost(self, pooled: "_PooledConnection") -> None:
        self._open.discard(pooled)
        if pooled in self._idle:
            self._idle.remove(pooled)
        self._serve()

    def close(self) -> None:
        for task in self._opening:
            task.cancel()
        self._refuse(DatabaseUnavailable("the server stops", retry_after=2), len(self._queued))
        for pooled in list(self._open):
            pooled.close(psycopg.OperationalError("the server stops"))

    def _serve(self) -> None:
        while self._queued and self._idle:
            request = self._queued.popleft()
            if not request.answer.done():
                self._idle.pop().send(request)
        if self._queued and len(self._open) + len(self._opening) < MAX_CONNECTIONS:
            self._open_more()

    def _open_more(self) -> None:
        room = MAX_CONNECTIONS - len(self._open) - len(self._opening)
        if self._open and monotonic() < self._open_again_at:  # refused a moment ago: go on with what there is
            room = 0
        for _ in range(min(room, len(self._queued) - len(self._opening))):
            self._opening.add(asyncio.create_task(self._open_one()))
        if not self._watched:
            self._watch()

    async def _open_one(self) -> None:
        this = asyncio.current_task()
        try:
            connection = await _connect(self._url, self._statement)
        except psycopg.Error as error:
            self._open_again_at = monotonic() + 1.0
            if not self._open and self._opening == {this}:
                self._refuse(translate(error), len(self._queued))
        else:
            pooled = _PooledConnection(self, connection, self._statement)
            self._open.add(pooled)
            self.done(pooled)
        finally:
            self._opening.discard(this)

    def _watch(self) -> None:
        """One timer for all, in place of one for each request."""
        now = monotonic()
        late = sum(1 for request in self._queued if request.since <= now - ACQUIRE_TIMEOUT_SECONDS)
        self._refuse(DatabaseUnavailable("Postgres had no connection free in time", retry_after=2), late)
        while self._idle and self._idle[0].idle_since <= now - MAX_IDLE_SECONDS:  # the first have been idle longest
            self._idle[0].close()
        self._watched = bool(self._queued or self._open or self._opening)
        if self._watched:
            asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)

    def _refuse(self, error: Exception, number: int) -> None:
        for request in [self._queued.popleft() for _ in range(number)]:
            if not request.answer.done():
                request.answer.set_exception(error)


class _PooledConnection:
    def __init__(self, pool: _AppendPool, connection: _Connection, statement: Statement) -> None:
        self.idle_since = 0.0
        self._pool = pool
        self._connection = connection  # kept, since its end would close the socket
        self._postgres = connection.pgconn
        self._postgres.nonblocking = 1
        self._statement = statement
        self._prepared = connection.prepare_threshold is not None
        self._request: _Request | None = None
        self._result: pq.abc.PGresult | None = None
        self._writes = False
        self._socket = self._postgres.socket
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def send(self, request: _Request) -> None:
        self._request = request
        try:
            send(self._postgres, self._statement, request.values, prepared=self._prepared)
            self._write()
        except psycopg.Error as error:
            self.close(error)

    def _write(self) -> None:
        is_left = bool(self._postgres.flush())
        if is_left != self._writes:
            self._writes = is_left
            loop = asyncio.get_running_loop()
            _ = loop.add_writer(self._socket, self._read) if is_left else loop.remove_writer(self._socket)

    def _read(self) -> None:
        if self._request is None:  # without a request, all that can arrive is the end of the connection
            self.close()
            return
        try:
            self._postgres.consume_input()
            if self._writes:
                self._write()
            while not self._postgres.is_busy():
                result = self._postgres.get_result()
                if result is None:
                    self._answer(self._request)
                    return
                self._result = result
        except psycopg.Error as error:
            self.close(error)

    def _answer(self, request: _Request) -> None:
        result, self._result, self._request = self._result, None, None
        assert result is not None
        if not request.answer.done():
            if result.status == pq.ExecStatus.TUPLES_OK:
                request.answer.set_result(result.get_value(0, 0) or b"")
            else:
                request.answer.set_exception(_caused(error_from_result(result)))
        self.idle_since = monotonic()
        self._pool.done(self)

    def close(self, error: psycopg.Error | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._socket)
        loop.remove_writer(self._socket)
        self._postgres.finish()
        if self._request and not self._request.answer.done():
            self._request.answer.set_exception(_caused(error or psycopg.OperationalError("the connection was closed")))
        self._pool.lost(self)


def _caused(error: psycopg.Error) -> Exception:
    translated = translate(error)
    if translated is not error:
        translated.__cause__ = error
    return translated


async def _connect(database_url: str, statement: Statement) -> _Connection:
    connection = await psycopg.AsyncConnection.connect(database_url, **connect_options(database_url))
    try:
        await _prepare(connection, statement)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _prepare(connection: _Connection, statement: Statement) -> None:
    if connection.prepare_threshold is None:
        return
    row = await (await connection.execute(ASK_SESSION)).fetchone()
    if row and is_pooled(connection.info, row[0]):
        connection.prepare_threshold = None
    else:
        await connection.execute(f"prepare {statement.name} as {moved_text(statement.text)}")


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], _AppendPool]] = WeakKeyDictionary()
