"""A statement in its leanest form lives beside what psycopg does on the same connection."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from penstock.postgres import pool
from penstock.postgres.prepared import Statement, fetch_value, in_autocommit

DOUBLE = Statement("double_it", "select $1::int * 2")
DIVIDE = Statement("divide_by_it", "select 8 / $1::int")


def number(value: int) -> bytes:
    return value.to_bytes(4, "big", signed=True)


@pytest.fixture
def alone(database_url: str) -> Iterator[pool.Connection]:
    with pool.connect(database_url) as connection:
        yield connection


def prepared(connection: pool.Connection) -> list[str]:
    rows = connection.execute("select name from pg_prepared_statements where name like '%\\_it'", prepare=False)
    return sorted(name for (name,) in rows)


def test_it_is_prepared_once_a_connection(alone: pool.Connection) -> None:
    assert [fetch_value(alone, DOUBLE, [number(n)]) for n in (-3, 4)] == [number(-6), number(8)]
    assert fetch_value(alone, DIVIDE, [number(2)]) == number(4)
    assert prepared(alone) == ["divide_by_it", "double_it"]


def test_it_is_not_prepared_behind_a_pooler(alone: pool.Connection) -> None:
    alone.prepare_threshold = None
    assert fetch_value(alone, DOUBLE, [number(4)]) == number(8)
    assert prepared(alone) == []


def test_it_is_prepared_anew_after_psycopg_dropped_all(alone: pool.Connection) -> None:
    fetch_value(alone, DOUBLE, [number(1)])
    alone.execute("deallocate all", prepare=False)
    assert fetch_value(alone, DOUBLE, [number(4)]) == number(8)


def test_an_error_leaves_the_connection_as_it_was(alone: pool.Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        fetch_value(alone, DIVIDE, [number(0)])
    assert fetch_value(alone, DIVIDE, [number(4)]) == number(2)
    assert alone.execute("select 1").fetchone() == (1,)


def test_a_transaction_or_a_pipeline_is_not_alone(alone: pool.Connection) -> None:
    assert in_autocommit(alone)
    with alone.transaction():
        assert not in_autocommit(alone)
    with alone.pipeline():
        assert not in_autocommit(alone)
    alone.autocommit = False
    assert not in_autocommit(alone)


def test_threads_take_turns_on_one_connection(alone: pool.Connection) -> None:
    answers: list[bool] = []

    def often(value: int) -> None:
        answers.extend(fetch_value(alone, DOUBLE, [number(value)]) == number(2 * value) for _ in range(200))

    threads = [threading.Thread(target=often, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 800


def test_a_lost_connection_is_said(alone: pool.Connection, database_url: str) -> None:
    fetch_value(alone, DOUBLE, [number(1)])
    with pool.connect(database_url) as other:
        other.execute("select pg_terminate_backend(%s)", (alone.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        fetch_value(alone, DOUBLE, [number(1)])
