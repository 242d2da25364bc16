"""Statements on the event loop: what waits, breaks, is refused or given up harms no other."""

import asyncio
import struct
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from penstock import errors
from penstock.errors import DatabaseUnavailable, Unavailable
from penstock.postgres import append_pool, pool
from penstock.postgres.append_pool import MAX_CONNECTIONS, Statement, fetch_value
from tests.waiting import PATIENCE_SECONDS

T = TypeVar("T")
ECHO = Statement("echo", "select $1::bytea")
PID = Statement("pid", "select pg_backend_pid()")
HELD = Statement("held", "select pg_advisory_xact_lock_shared(1)")
SLEEP = Statement("sleep", "select pg_sleep($1::float8)")
DOUBLE = struct.Struct(">d")
HALF_A_SECOND = (DOUBLE.pack(0.5),)


def on_a_loop(scene: Callable[[], Coroutine[Any, Any, T]]) -> T:
    async def whole() -> T:
        try:
            return await scene()
        finally:
            append_pool.close_append_pools()

    return asyncio.run(whole())


def open_connections(watching: psycopg.Connection) -> list[int]:
    return [pid for (pid,) in watching.execute(OURS).fetchall()]


OURS = "select pid from pg_stat_activity where application_name = 'penstock' and datname = current_database()"


def end(watching: psycopg.Connection) -> int:
    ended = watching.execute(f"select pg_terminate_backend(pid, 5000) from ({OURS}) as ours").fetchall()
    return len(ended)


@pytest.fixture
def watching(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def test_each_gets_its_own_answer_on_few_connections(database_url: str, watching: psycopg.Connection) -> None:
    async def scene() -> int:
        texts = [str(number).encode() for number in range(500)]
        assert await asyncio.gather(*(fetch_value(database_url, ECHO, (text,)) for text in texts)) == texts
        return len(open_connections(watching))

    assert 1 <= on_a_loop(scene) <= MAX_CONNECTIONS
    asyncio.run(until(lambda: not open_connections(watching)))


def test_one_after_the_other_needs_one_connection(database_url: str) -> None:
    async def scene() -> set[bytes]:
        return {await fetch_value(database_url, PID, ()) for _ in range(20)}

    assert len(on_a_loop(scene)) == 1


def test_what_the_socket_does_not_take_at_once_is_sent_later(database_url: str) -> None:
    large = bytes(range(256)) * 40_000

    async def scene() -> list[bytes]:
        return await asyncio.gather(*(fetch_value(database_url, ECHO, (large,)) for _ in range(MAX_CONNECTIONS + 2)))

    assert all(answer == large for answer in on_a_loop(scene))


def test_nothing_is_prepared_behind_the_transaction_pooler(database_url: str, monkeypatch) -> None:
    prepared = Statement("prepared", "select count(*)::int from pg_prepared_statements")

    async def scene() -> bytes:
        return await fetch_value(database_url, prepared, ())

    assert int.from_bytes(on_a_loop(scene)) == 1
    with monkeypatch.context() as patched:
        port = conninfo_to_dict(make_conninfo(database_url)).get("port", "5432")
        patched.setattr(pool, "TRANSACTION_POOLER_PORT", port)
        assert int.from_bytes(on_a_loop(scene)) == 0
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1593028812)  # as a pooler on another port gives
    assert int.from_bytes(on_a_loop(scene)) == 0


def test_a_connection_that_the_server_ended_while_idle_is_replaced(
    database_url: str, watching: psycopg.Connection
) -> None:
    async def scene() -> tuple[bytes, bytes]:
        before = await fetch_value(database_url, PID, ())
        assert end(watching) == 1
        return before, await ask_anew()

    async def ask_anew() -> bytes:
        await asyncio.sleep(0.05)
        return await fetch_value(database_url, PID, ())

    before, after = on_a_loop(scene)
    assert before != after


def test_what_was_sent_when_the_connection_broke_is_of_unknown_outcome_and_who_waits_is_served(
    database_url: str, watching: psycopg.Connection
) -> None:
    async def scene() -> list[bytes]:
        long = [fetch_value(database_url, SLEEP, (DOUBLE.pack(30.0),)) for _ in range(MAX_CONNECTIONS)]
        waiting = [fetch_value(database_url, SLEEP, (DOUBLE.pack(0.0),)) for _ in range(5)]
        await until(lambda: len(asleep(watching)) == MAX_CONNECTIONS)
        assert end(watching) == MAX_CONNECTIONS
        for broken in await asyncio.gather(*long, return_exceptions=True):
            assert isinstance(broken, DatabaseUnavailable)
            assert broken.retry_after == 2
        return await asyncio.gather(*waiting)

    assert len(on_a_loop(scene)) == 5


def asleep(watching: psycopg.Connection) -> list[Any]:
    return watching.execute(f"{OURS} and wait_event = 'PgSleep'").fetchall()


def held(watching: psycopg.Connection) -> list[Any]:
    return watching.execute(f"{OURS} and wait_event = 'advisory'").fetchall()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_what_is_given_up_leaves_the_connection_in_order(database_url: str) -> None:
    async def scene() -> list[bytes]:
        given_up = [fetch_value(database_url, SLEEP, HALF_A_SECOND) for _ in range(MAX_CONNECTIONS + 4)]
        await asyncio.sleep(0.2)
        for each in given_up:
            each.cancel()
        return await asyncio.gather(*(fetch_value(database_url, SLEEP, (DOUBLE.pack(0.0),)) for _ in range(20)))

    began = time.monotonic()
    assert len(on_a_loop(scene)) == 20
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_who_waits_too_long_is_told_so_and_what_was_sent_goes_on(
    database_url: str, watching: psycopg.Connection, monkeypatch
) -> None:
    async def scene() -> None:
        watching.execute("select pg_advisory_lock(1)")
        sent = [fetch_value(database_url, HELD, ()) for _ in range(MAX_CONNECTIONS)]
        await until(lambda: len(held(watching)) == MAX_CONNECTIONS)
        monkeypatch.setattr(append_pool, "ACQUIRE_TIMEOUT_SECONDS", 0.3)
        with pytest.raises(DatabaseUnavailable, match="free in time"):
            await fetch_value(database_url, HELD, ())
        assert not any(each.done() for each in sent)
        watching.execute("select pg_advisory_unlock(1)")
        await asyncio.gather(*sent)

    on_a_loop(scene)


def test_too_many_waiting_are_refused_at_once(database_url: str, monkeypatch) -> None:
    monkeypatch.setattr(append_pool, "MAX_QUEUED", 3)

    async def scene() -> None:
        waiting = [fetch_value(database_url, SLEEP, HALF_A_SECOND) for _ in range(3)]
        with pytest.raises(Unavailable, match="too many requests wait"):
            fetch_value(database_url, SLEEP, HALF_A_SECOND)
        await asyncio.gather(*waiting)
        await fetch_value(database_url, SLEEP, HALF_A_SECOND)

    on_a_loop(scene)


def test_without_a_server_all_are_refused_at_once_and_served_when_it_is_there(
    database_url: str, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(append_pool, "ACQUIRE_TIMEOUT_SECONDS", 3600)
    nowhere = make_conninfo(database_url, host=str(tmp_path))

    async def scene() -> list[BaseException | bytes]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await asyncio.gather(*(fetch_value(nowhere, PID, ()) for _ in range(50)), return_exceptions=True)

    assert {type(each) for each in on_a_loop(scene)} == {DatabaseUnavailable}


def test_fewer_connections_than_wished_serve_all(database_url: str, watching: psycopg.Connection) -> None:
    watching.execute("create role narrow login password 'narrow' connection limit 2")
    narrow = make_conninfo(database_url, user="narrow", password="narrow")

    async def scene() -> tuple[int, list[bytes]]:
        answers = await asyncio.gather(*(fetch_value(narrow, ECHO, (b"x",)) for _ in range(100)))
        return len(open_connections(watching)), answers

    try:
        connections, answers = on_a_loop(scene)
    finally:
        watching.execute("drop role narrow")
    assert answers == [b"x"] * 100
    assert connections <= 2


def test_a_statement_that_cannot_be_prepared_is_refused_and_leaves_no_connection(
    database_url: str, watching: psycopg.Connection
) -> None:
    async def scene() -> None:
        for _ in range(3):
            with pytest.raises(errors.NotMigrated):
                await fetch_value(database_url, Statement("missing", "select no_such_function($1::int)"), (bytes(4),))
        await until(lambda: not open_connections(watching))

    on_a_loop(scene)


def test_connections_that_nobody_needs_are_closed(database_url: str, watching: psycopg.Connection, monkeypatch) -> None:
    monkeypatch.setattr(append_pool, "MAX_IDLE_SECONDS", 0.2)

    async def scene() -> None:
        await asyncio.gather(*(fetch_value(database_url, ECHO, (b"x",)) for _ in range(100)))
        assert open_connections(watching)
        await until(lambda: not open_connections(watching))
        assert await fetch_value(database_url, ECHO, (b"again",)) == b"again"

    on_a_loop(scene)


def test_each_loop_has_connections_of_its_own(database_url: str) -> None:
    found: list[bytes] = []
    together = threading.Barrier(3)

    async def scene() -> None:
        found.append(await fetch_value(database_url, PID, ()))
        together.wait(PATIENCE_SECONDS)

    threads = [threading.Thread(target=on_a_loop, args=(scene,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 3


def test_closing_refuses_what_waits_and_tells_what_was_sent(database_url: str, watching: psycopg.Connection) -> None:
    async def scene() -> list[BaseException | bytes]:
        asked = [fetch_value(database_url, SLEEP, (DOUBLE.pack(30.0),)) for _ in range(MAX_CONNECTIONS + 3)]
        await until(lambda: len(asleep(watching)) == MAX_CONNECTIONS)
        append_pool.close_append_pools()
        return await asyncio.gather(*asked, return_exceptions=True)

    assert {type(each) for each in on_a_loop(scene)} == {DatabaseUnavailable}
