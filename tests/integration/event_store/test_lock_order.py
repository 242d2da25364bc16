"""All that writes to several streams takes their heads in one order, in a database of any collation.

The streams are ("thing", "a") and ("thing", "B"): "B" is first as bytes, "a" is first in English.
"""

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from penstock.commands.dispatch import lock_streams
from penstock.event_store import append
from tests import throwaway
from tests.integration.event_store.racing import made, wait_until
from tests.integration.event_store.ways import (
    Append,
    Stream,
    imported,
    imported_births,
    opened,
    opened_fresh,
    staged,
)
from tests.real.clusters import Cluster, running_cluster

DEBIANS_POSTGRES = Path("/usr/lib/postgresql/15/bin")


FIRST, SECOND = ("thing", "B"), ("thing", "a")


SAME_ID = (("Thing", "x"), ("thing", "x"))


@pytest.fixture(scope="module")
def english() -> Iterator[Cluster]:
    """A server whose template `english` has the collation of most real databases; the embedded one is without ICU."""
    if not DEBIANS_POSTGRES.exists() and not os.environ.get("CI"):
        pytest.skip("Debian's postgresql-15 is not installed")
    with running_cluster(15) as cluster:
        with cluster.connect() as connection:
            connection.execute(
                "create database english template template0 locale_provider icu icu_locale 'en-US' encoding 'utf8'"
            )
        throwaway.migrate(cluster.dsn("english"))
        yield cluster


@pytest.fixture(params=["bytes", "en-US"])
def url(request: pytest.FixtureRequest) -> str:
    """A database that sorts by bytes, as the tests' own do, and one that does not."""
    if request.param == "bytes":
        return str(request.getfixturevalue("database_url"))
    name = f"test_{uuid.uuid4().hex}"
    cluster: Cluster = request.getfixturevalue("english")
    with cluster.connect() as connection:
        connection.execute(f"create database {name} template english".encode())
    return cluster.dsn(name)


def by_command(connection: psycopg.Connection, streams: list[Stream]) -> None:
    lock_streams(connection, streams)


def heads(connection: psycopg.Connection, stream: Stream) -> list[tuple[int]]:
    """The stream's head, unless another transaction has it."""
    query = (
        "select version from penstock.streams where (aggregate_type, aggregate_id) = (%s, %s) for update skip locked"
    )
    return connection.execute(query, stream).fetchall()


def is_blocked(connection: psycopg.Connection, pid: int) -> bool:
    return connection.execute("select cardinality(pg_blocking_pids(%s)) > 0", (pid,)).fetchone() == (True,)


@contextmanager
def at_work(
    url: str,
) -> Iterator[tuple[psycopg.Connection, psycopg.Connection, ThreadPoolExecutor, psycopg.Connection]]:
    """Who holds a head, who writes, the writer's thread, and who looks on. A holder that leaves lets the thread end."""
    with (
        closing(psycopg.connect(url)) as writer,
        ThreadPoolExecutor(1) as thread,
        closing(psycopg.connect(url, autocommit=True)) as holder,
        closing(psycopg.connect(url, autocommit=True)) as watcher,
    ):
        yield holder, writer, thread, watcher


WAYS_TO_STREAMS_THAT_EXIST = [by_command, opened, staged, imported]


WAYS_TO_FRESH_STREAMS = [opened, opened_fresh, staged, imported_births, imported]


@pytest.mark.parametrize(("first", "second"), [(FIRST, SECOND), SAME_ID], ids=["by id", "by type"])
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("way", WAYS_TO_STREAMS_THAT_EXIST)
def test_heads_that_exist_are_taken_in_the_order_of_their_bytes(
    url: str, way: Append, first: Stream, second: Stream, turned: bool
) -> None:
    with at_work(url) as (holder, writer, thread, watcher):
        for stream in (first, second):
            append(holder, *stream, "any", made())
        holder.execute("begin")
        append(holder, *second, "any", made())
        running = thread.submit(way, writer, [second, first] if turned else [first, second])
        wait_until(lambda: is_blocked(watcher, writer.info.backend_pid), 60)
        assert heads(watcher, first) == []
        holder.execute("commit")
        running.result()


@pytest.mark.parametrize(("first", "second"), [(FIRST, SECOND), SAME_ID], ids=["by id", "by type"])
@pytest.mark.parametrize("turned", [False, True], ids=["in order", "turned"])
@pytest.mark.parametrize("way", WAYS_TO_FRESH_STREAMS)
def test_heads_to_be_are_taken_in_the_order_of_their_bytes(
    url: str, way: Append, first: Stream, second: Stream, turned: bool
) -> None:
    with at_work(url) as (holder, writer, thread, watcher):
        holder.execute("begin")
        append(holder, *second, "any", made())
        running = thread.submit(way, writer, [second, first] if turned else [first, second])
        wait_until(lambda: is_blocked(watcher, writer.info.backend_pid), 60)
        watcher.execute("set lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):  # its insert is waited for, so it is there
            append_untranslated(watcher, first)
        holder.execute("rollback")
        running.result()


def append_untranslated(connection: psycopg.Connection, stream: Stream) -> None:
    connection.execute("select public.append_event(%s, %s, 0, gen_random_uuid(), 'Made', '{}')", stream)
