"""Advancing projections: each event once, in order, none skipped; who waits, and what stays parked."""

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock.errors import NotFound, WaitTimedOut
from penstock.event_store import RecordedEvent
from penstock.postgres.pool import close_pools, connect
from penstock.projections import PythonProjection, advance, advance_all, rebuild, runner, wait_for
from penstock.projections import projection as registry
from penstock.settings import Settings
from tests.shop.projections.store import letters, place, put, read_models, rows
from tests.waiting import PATIENCE_SECONDS

PLACED_AT = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


def order(connection: psycopg.Connection, order_id: str = "o1") -> dict[str, Any]:
    cursor = connection.cursor(row_factory=psycopg.rows.dict_row)
    row = cursor.execute("select * from shop.orders where order_id = %s", (order_id,)).fetchone()
    assert row is not None
    return row


def step(connection: psycopg.Connection, event_type: str, hour: int = 9) -> int:
    return put(connection, "order/o1", event_type, {}, occurred_at=f"2010-12-01T{hour:02}:00:00Z")


def test_advancing_again_changes_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    place(connection)
    advance_all(settings)
    before = read_models(connection)
    assert {advanced.events for advanced in advance_all(settings).values()} == {0}
    assert read_models(connection) == before


def test_racing_calls_apply_each_event_once(settings: Settings, connection: psycopg.Connection) -> None:
    for number in range(40):
        put(connection, "inventory/p1", "InventoryAdjusted", {"delta": 1})
        place(connection, f"o{number}")
    applied: list[int] = []
    threads = [threading.Thread(target=lambda: applied.append(advance(settings, "inventory").events)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(applied) == 40
    assert connection.execute("select on_hand, available from inventory_current").fetchall() == [(40, 40)]


def test_a_projection_out_of_time_says_that_it_has_not_caught_up(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BATCH_SIZE", 2)
    for number in range(6):
        place(connection, f"o{number}")
    assert advance(settings, "orders", seconds=0) == runner.Advanced(position=2, events=2, caught_up=False)
    assert advance(settings, "orders") == runner.Advanced(position=6, events=4, caught_up=True)


def test_an_event_still_being_committed_is_waited_for_and_not_skipped(
    settings: Settings, connection: psycopg.Connection
) -> None:
    with connect(settings.database_url) as slow:
        with slow.transaction():
            place(slow, "slow")
            place(connection, "quick")
            assert advance(settings, "orders").events == 0
        assert advance(settings, "orders").events == 2


def test_many_poison_events_do_not_stall_a_projection(settings: Settings, connection: psycopg.Connection) -> None:
    bad = [place(connection, f"o{n}", **({"total": "x"} if n % 3 == 0 else {})) for n in range(90)][::3]
    assert advance(settings, "orders").caught_up
    assert len(rows(connection, "orders")) == 60
    assert {int(reference) for _, reference, _ in letters(connection)} == set(bad)


def test_an_old_event_is_projected_in_its_newest_shape(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute(
        "create function public.total_from_amount(payload jsonb) returns jsonb language sql immutable"
        " set search_path = ''"
        " as $$ select payload - 'amount' || pg_catalog.jsonb_build_object('total', payload -> 'amount') $$"
    )
    connection.execute("select penstock.register_upcaster('OrderPlaced', 1, 'public.total_from_amount(jsonb)')")
    put(connection, "order/o1", "OrderPlaced", {"amount": "8.25"})
    advance(settings, "orders")
    assert order(connection)["total"] == Decimal("8.25")


def test_an_upcaster_that_refuses_parks_the_event(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute(
        "create function public.refuse(payload jsonb) returns jsonb language plpgsql immutable set search_path = ''"
        " as $$ begin raise exception 'not this one'; end $$"
    )
    connection.execute("select penstock.register_upcaster('OrderPlaced', 1, 'public.refuse(jsonb)')")
    place(connection)
    assert advance(settings, "orders").caught_up
    assert connection.execute("select reason from ops.dead_letters").fetchall() == [("not this one",)]


def test_a_dropped_dead_letter_stays_dropped_at_a_rebuild(settings: Settings, connection: psycopg.Connection) -> None:
    position = place(connection, total="x")
    advance(settings, "orders")
    connection.execute("update ops.dead_letters set resolved_at = now(), resolution = 'dropped'")
    rebuild(settings, "orders")
    assert letters(connection) == [("orders", str(position), False)]


def count_by_type(connection: psycopg.Connection, events: Sequence[RecordedEvent]) -> None:
    for event in events:
        connection.execute(
            "insert into event_counts values (%s, 1) on conflict (event_type) do update set n = event_counts.n + 1",
            (event.payload["kind"],),
        )


@pytest.fixture
def python_projection(connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> PythonProjection:
    connection.execute("create table public.event_counts (event_type text primary key, n integer not null)")
    projection = PythonProjection("event_counts", ("event_counts",), ("Noticed",), count_by_type)
    monkeypatch.setitem(registry._registry, projection.name, projection)
    return projection


@pytest.mark.usefixtures("python_projection")
def test_a_projection_in_python_has_the_same_promises(settings: Settings, connection: psycopg.Connection) -> None:
    for payload in ({"kind": "a"}, {}, {"kind": "a"}, {"kind": "b"}, {"kind": None}):
        put(connection, "note/1", "Noticed", payload)
    assert advance(settings, "event_counts").events == 5
    expected = [("a", 2), ("b", 1)]
    assert rows(connection, "event_counts") == expected
    assert letters(connection) == [("event_counts", "2", True), ("event_counts", "5", True)]
    connection.execute("update event_counts set n = 9")
    rebuilt = rebuild(settings, "event_counts")
    assert (rebuilt.events, rebuilt.parked, rebuilt.deleted, rebuilt.inserted) == (5, 2, 2, 2)
    assert rows(connection, "event_counts") == expected


def test_waiting_returns_once_the_position_is_reached(settings: Settings, connection: psycopg.Connection) -> None:
    position = place(connection)
    timer = threading.Timer(0.2, advance, (settings, "orders"))
    timer.start()
    wait_for(settings, "orders", position, seconds=10)
    assert order(connection)["position"] == position
    timer.join()


def test_waiting_too_long_says_where_the_projection_stands(settings: Settings, connection: psycopg.Connection) -> None:
    advance(settings, "orders")
    position = place(connection)
    began = time.monotonic()
    with pytest.raises(WaitTimedOut) as caught:
        wait_for(settings, "orders", position, seconds=0.2)
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert caught.value.details == {"projection": "orders", "position": 0, "wanted": position}


def test_an_unknown_projection_is_not_found(settings: Settings) -> None:
    for call in (
        lambda: advance(settings, "x"),
        lambda: wait_for(settings, "x", 1, seconds=0),
        lambda: rebuild(settings, "x"),
    ):
        with pytest.raises(NotFound, match="there are customers, inventory, orders, products"):
            call()
