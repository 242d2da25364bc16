"""What is not the event's fault never parks it: the projection fails as a whole, and the next call goes on."""

import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from penstock.errors import PenstockError
from penstock.postgres.pool import close_pools, connect
from penstock.projections import advance, rebuild
from penstock.settings import Settings
from tests.shop.projections.store import letters, place

# serialization, deadlock, lock not available, query cancelled, disk full, out of memory, too many connections,
# read-only transaction, idle session ended, admin shutdown, internal error
PASSING = ("40001", "40P01", "55P03", "57014", "53100", "53200", "53300", "25006", "25P03", "57P01", "XX000")
FAULTS = ("22000", "23514", "54000", "P0001")


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


def fail_with(connection: psycopg.Connection, sqlstate: str) -> None:
    """Every row that goes into `orders` raises, once for all sizes of ranges."""
    connection.execute(
        sql.SQL(
            "create or replace function public.fail() returns trigger language plpgsql as"
            " $$ begin raise exception 'no' using errcode = {}; end $$"
        ).format(sql.Literal(sqlstate))
    )
    connection.execute(
        "create or replace trigger fail before insert on orders for each row execute function public.fail()"
    )


@pytest.mark.parametrize("orders", [1, 3])
@pytest.mark.parametrize("sqlstate", PASSING)
def test_a_passing_error_parks_nothing_and_is_over_when_it_is_over(
    settings: Settings, connection: psycopg.Connection, sqlstate: str, orders: int
) -> None:
    for number in range(orders):
        place(connection, f"o{number}")
    fail_with(connection, sqlstate)
    with pytest.raises((PenstockError, psycopg.Error)):
        advance(settings, "orders")
    assert letters(connection) == []
    connection.execute("drop trigger fail on orders")
    assert advance(settings, "orders").events == orders


@pytest.mark.parametrize("sqlstate", FAULTS)
def test_an_error_of_the_event_parks_it(settings: Settings, connection: psycopg.Connection, sqlstate: str) -> None:
    position = place(connection)
    fail_with(connection, sqlstate)
    assert advance(settings, "orders").caught_up
    assert letters(connection) == [("orders", str(position), True)]


def test_a_table_that_somebody_holds_parks_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    place(connection)
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("alter database {} set lock_timeout = '100ms'").format(name))
    with connect(settings.database_url) as other, other.transaction():
        other.execute("lock table shop.orders in share mode")
        with pytest.raises((PenstockError, psycopg.Error)):
            advance(settings, "orders")
        assert letters(connection) == []
    assert advance(settings, "orders").events == 1


def test_a_deadlock_parks_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    """The projection holds `order_items` and wants `orders`; somebody holds that and wants the other."""
    place(connection)
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("alter database {} set deadlock_timeout = '100ms'").format(name))
    failed: list[Exception] = []

    def project() -> None:
        try:
            advance(settings, "orders")
        except (PenstockError, psycopg.Error) as error:
            failed.append(error)

    with connect(settings.database_url) as other, other.transaction():
        other.execute("set local deadlock_timeout = '1h'")  # so that it is the projection that gives up
        other.execute("lock table shop.orders in share mode")
        projecting = threading.Thread(target=project)
        projecting.start()
        until_waiting_for(connection, "orders")
        other.execute("lock table shop.order_items in access exclusive mode")
    projecting.join()
    assert len(failed) == 1
    assert letters(connection) == []
    assert advance(settings, "orders").caught_up
    assert connection.execute("select count(*) from orders").fetchone() == (1,)


def until_waiting_for(connection: psycopg.Connection, table: str) -> None:
    deadline = time.monotonic() + 60
    # an autovacuum may wait for the table, too; and tables of all clones have one oid
    query = (
        "select count(*) from pg_locks as l inner join pg_stat_activity as a on a.pid = l.pid"
        " where l.relation = %s::regclass and not l.granted"
        " and a.backend_type = 'client backend' and a.datname = current_database()"
    )
    while connection.execute(query, (table,)).fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_rebuild_that_meets_a_passing_error_leaves_the_live_rows(
    settings: Settings, connection: psycopg.Connection
) -> None:
    place(connection)
    advance(settings, "orders")
    connection.execute("update orders set total = 9")
    fail_with(connection, "40P01")
    with pytest.raises((PenstockError, psycopg.Error)):
        rebuild(settings, "orders")
    assert letters(connection) == []
    assert connection.execute("select total from orders").fetchall() == [(9,)]
