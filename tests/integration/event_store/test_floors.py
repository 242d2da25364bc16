"""Every way of appending publishes its floor; what is no floor holds up no reader; no login can stop the store."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from penstock import errors
from penstock.event_store import append, high_water_mark, read_events
from penstock.local.postgres import EmbeddedPostgres
from penstock.local.testing import scratch_folder
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from tests import throwaway
from tests.integration.event_store.racing import made
from tests.integration.event_store.ways import WAYS, Append, one, several

FLOOR_KEY = "(20563::bigint << 48)"


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_reader_stays_below_an_append_in_flight(database_url: str, connection: Connection, way: Append) -> None:
    append(connection, "thing", "before", "any", made(3))
    with psycopg.connect(database_url) as slow:
        slow.commit()
        way(slow, [("thing", "slow")])
        late = append(connection, "thing", "quick", "any", made()).position
        row = slow.execute("select position from public.event_store where aggregate_id = 'slow'").fetchone()
        early = row[0] if row else 0
        assert 3 < early < late
        seen = [event.position for event in read_events(connection)]
        assert seen == [1, 2, 3]
        assert high_water_mark(connection) < early
        slow.commit()
    assert [event.position for event in read_events(connection, after=3)] == [early, late]


def test_an_append_in_flight_in_another_database_holds_nobody_up(connection: Connection) -> None:
    """The clones of one template have the same tables and positions, down to their numbers in the catalog."""
    with throwaway.cloned_database(throwaway.TICKETS) as other, psycopg.connect(other) as slow:
        one(slow, [("thing", "slow")])
        position = append(connection, "thing", "quick", "any", made()).position
        assert high_water_mark(connection) == position


@pytest.fixture
def standby() -> Iterator[str]:
    """The DSN of a server in recovery with the store in it. It follows nobody: none is needed for a refusal."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-cluster-", dir=scratch_folder()))
    folder.chmod(0o755)
    cluster = EmbeddedPostgres(folder / "postgres", settings=throwaway.CARELESS)
    try:
        url = cluster.start()
        throwaway.migrate(url)
        with psycopg.connect(url, autocommit=True) as connection:
            several(connection, [("thing", "a")])
        cluster.stop()
        (settings,) = folder.rglob("postgresql.conf")
        settings.with_name("standby.signal").touch(mode=0o644)
        yield cluster.start()
    finally:
        cluster.remove()
        shutil.rmtree(folder)


def test_a_standby_is_refused(standby: str) -> None:
    with pool.connect(standby) as connection, pytest.raises(errors.InvalidInput, match="primary"):
        high_water_mark(connection)


@contextmanager
def login_of_analyst(database_url: str) -> Iterator[psycopg.Connection]:
    """A session of a login that is a member of `analyst` and nothing else."""
    name = f"reporter_{threading.get_ident()}"
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute(f"create role {name} login password 'reports' in role analyst".encode())
        try:
            url = make_conninfo(database_url, user=name, password="reports")
            with psycopg.connect(url, autocommit=True) as connection:
                yield connection
        finally:
            owner.execute(f"drop role {name}".encode())


@pytest.mark.parametrize("kind", ["", "_shared"])
def test_locks_of_an_analyst_stop_no_reader(database_url: str, connection: Connection, kind: str) -> None:
    append(connection, "thing", "a", "any", made(3))
    with login_of_analyst(database_url) as analyst:
        analyst.execute("begin")
        analyst.execute("select count(*) from penstock.streams")
        analyst.execute(f"select pg_advisory_lock{kind}({FLOOR_KEY} | 1)".encode())
        assert high_water_mark(connection) == 3
        assert high_water_mark(analyst) == 3


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_locks_of_an_analyst_stop_no_append_and_lose_no_event(
    database_url: str, connection: Connection, way: Append
) -> None:
    """All keys that the store could use so far are taken, and many more."""
    with login_of_analyst(database_url) as analyst, psycopg.connect(database_url) as slow:
        analyst.execute(f"select count(pg_advisory_lock({FLOOR_KEY} | n)) from generate_series(0, 500) as n".encode())
        slow.execute("set lock_timeout = '60s'")
        slow.commit()
        way(slow, [("thing", "slow")])
        append(connection, "thing", "quick", "any", made())
        assert high_water_mark(connection) == 0
        slow.commit()
        assert len(read_events(connection)) == 2


def test_an_analyst_gets_no_lock_that_makes_a_floor(database_url: str) -> None:
    with login_of_analyst(database_url) as analyst:
        for table in ("penstock.streams", "public.event_store"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(f"begin; lock table {table} in row exclusive mode".encode())
            analyst.execute("rollback")
