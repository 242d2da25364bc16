"""Advancing projections: each event once, in order, leniently where there is one right answer, parked where not."""

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
from penstock.projections import PythonProjection, advance, advance_all, projections, rebuild, runner, wait_for
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


def test_an_order_with_all_steps_is_one_row_with_its_times(settings: Settings, connection: psycopg.Connection) -> None:
    first = place(connection, customer_id=17850, currency="GBP", country="UK")
    for hour, event_type in enumerate(("PaymentReceived", "OrderShipped", "OrderDelivered"), start=9):
        step(connection, event_type, hour)
    last = step(connection, "OrderCompleted", 12)
    assert advance(settings, "orders") == runner.Advanced(position=last, events=5, caught_up=True)
    row = order(connection)
    assert (row["status"], row["total"], row["customer_id"]) == ("completed", Decimal("5.100"), "17850")
    hours = [row[f"{name}_at"].hour for name in ("placed", "paid", "shipped", "delivered", "completed")]
    assert hours == [8, 9, 10, 11, 12]
    assert (row["version"], row["placed_position"], row["position"]) == (5, first, last)
    assert rows(connection, "order_items") == [("o1", 1, "p1", None, None, 2, Decimal("2.550"), Decimal("5.100"))]
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), 1, 1, Decimal("5.100"))]


def test_each_amendment_in_a_range_is_read(settings: Settings, connection: psycopg.Connection) -> None:
    first = place(connection)
    step(connection, "PaymentReceived")
    bad = put(connection, "order/o1", "OrderAmended", {"total": "many"})
    last = put(connection, "order/o1", "OrderAmended", {"total": "7", "customer_id": "c1"})
    assert advance(settings, "orders") == runner.Advanced(position=last, events=4, caught_up=True)
    assert letters(connection) == [("orders", str(bad), True)]
    row = order(connection)
    assert (row["status"], row["total"], row["customer_id"], row["placed_at"]) == ("paid", 7, "c1", PLACED_AT)
    assert (row["placed_position"], row["position"], row["version"]) == (last, last, 4)
    assert first < bad
    assert rows(connection, "order_items") == []
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), 1, 0, 0)]


def test_an_order_that_is_voided_may_begin_once_more(settings: Settings, connection: psycopg.Connection) -> None:
    place(connection, customer_id="c1")
    step(connection, "OrderCompleted")
    put(connection, "order/o1", "OrderVoided", {})
    step(connection, "OrderCompleted")
    put(connection, "order/o1", "OrderAmended", {"total": "3"})
    advance(settings, "orders")
    assert rows(connection, "orders") == rows(connection, "order_items") == []
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), 0, 0, 0)]
    again = place(connection, customer_id="c2")
    advance(settings, "orders")
    row = order(connection)
    assert (row["status"], row["customer_id"], row["completed_at"], row["version"]) == ("placed", "c2", None, 6)
    assert row["placed_position"] == again


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


@pytest.mark.parametrize(
    ("payload", "total"),
    [
        ({"items": None}, "0"),
        ({"items": [], "total": 12.5}, "12.5"),
        ({"total": "7"}, "7"),
        ({"items": [{"product_id": 22423, "quantity": 3.0, "unit_price": 1}]}, "3"),
        ({"items": [{"product_id": "a", "quantity": "2", "unit_price": "0.10"}], "total": None}, "0.20"),
    ],
)
def test_what_has_one_right_answer_is_read_leniently(
    settings: Settings, connection: psycopg.Connection, payload: dict[str, Any], total: str
) -> None:
    place(connection, **payload)
    advance(settings, "orders")
    assert str(order(connection)["total"]) == total
    assert letters(connection) == []


@pytest.mark.parametrize(
    ("placed_at", "occurred_at", "expected"),
    [
        ("2010-12-01T10:00:00+02:00", "2011-01-01T00:00:00Z", datetime(2010, 12, 1, 8, tzinfo=UTC)),
        ("2010-12-01 08:26:00", "2011-01-01T00:00:00Z", PLACED_AT),
        (None, "2010-12-01T08:26:00Z", PLACED_AT),
    ],
)
def test_the_time_of_an_order_is_what_it_says_else_when_it_occurred(
    settings: Settings, connection: psycopg.Connection, placed_at: str | None, occurred_at: str, expected: datetime
) -> None:
    put(connection, "order/o1", "OrderPlaced", {"placed_at": placed_at}, occurred_at=occurred_at)
    advance(settings, "orders")
    assert order(connection)["placed_at"] == expected


@pytest.mark.parametrize(
    "payload",
    [
        {"items": {"a": 1}},
        {"items": "none"},
        {"items": ["x"]},
        {"items": [{"product_id": "a", "quantity": 2.5, "unit_price": "1"}]},
        {"items": [{"product_id": "a", "quantity": 2**31, "unit_price": "1"}]},
        {"items": [{"product_id": "a", "quantity": 1}]},
        {"items": [{"product_id": "", "quantity": 1, "unit_price": "1"}]},
        {"items": [{"product_id": "a" * 5000, "quantity": 1, "unit_price": "1"}]},
        {"total": "NaN"},
        {"total": "Infinity"},
        {"total": "1e15"},
        {"total": "1e131000"},
        {"total": "0.0000000000000000001"},
        {"total": "about 5"},
        {"total": []},
        {"customer_id": {"id": 1}},
        {"customer_id": "a" * 201},
        {"placed_at": "now"},
        {"placed_at": "now -08-00"},
        {"placed_at": "infinity"},
        {"placed_at": "2010-12-01 BC"},
        {"placed_at": "2010-02-30T00:00:00Z"},
        {"placed_at": "1291191960"},
        {"placed_at": "9999-12-31T23:59:59Z"},
    ],
)
def test_an_order_that_cannot_be_read_is_parked_and_the_others_go_on(
    settings: Settings, connection: psycopg.Connection, payload: dict[str, Any]
) -> None:
    place(connection, "before")
    position = place(connection, "poison", **payload)
    last = place(connection, "after")
    assert advance(settings, "orders") == runner.Advanced(position=last, events=3, caught_up=True)
    found = connection.execute("select kind, source, reference, reason <> '', payload from ops.dead_letters").fetchall()
    assert [row[:4] for row in found] == [("event", "orders", str(position), True)]
    assert found[0][4]["aggregate_id"] == "poison"
    assert [row[0] for row in rows(connection, "orders")] == ["after", "before"]
    assert {row[0] for row in rows(connection, "order_items")} == {"after", "before"}


def test_many_poison_events_do_not_stall_a_projection(settings: Settings, connection: psycopg.Connection) -> None:
    bad = [place(connection, f"o{n}", **({"total": "x"} if n % 3 == 0 else {})) for n in range(90)][::3]
    assert advance(settings, "orders").caught_up
    assert len(rows(connection, "orders")) == 60
    assert {int(reference) for _, reference, _ in letters(connection)} == set(bad)


def test_steps_before_or_without_their_order_change_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    step(connection, "OrderCompleted")
    place(connection)
    put(connection, "order/never-placed", "OrderShipped", {})
    put(connection, "cart/o2", "OrderPlaced", {})
    advance(settings, "orders")
    assert [(row[0], row[2]) for row in rows(connection, "orders")] == [("o1", "placed")]
    assert letters(connection) == []


def test_an_order_placed_twice_is_the_first_one(settings: Settings, connection: psycopg.Connection) -> None:
    place(connection, total="1")
    place(connection, total="2")
    advance(settings, "orders")
    place(connection, total="3")
    advance(settings, "orders")
    assert order(connection)["total"] == 1
    assert connection.execute("select placed_count from revenue_by_hour").fetchall() == [(1,)]


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("steps", "status", "revenue"),
    [
        (["OrderShipped", "PaymentReceived"], "shipped", 0),
        (["OrderCompleted", "PaymentReceived"], "completed", "5.100"),
        (["OrderCompleted", "OrderCancelled"], "cancelled", 0),
        (["OrderCancelled", "OrderCompleted"], "completed", "5.100"),
        (["OrderCompleted", "OrderCompleted"], "completed", "5.100"),
        (["OrderCancelled", "OrderShipped"], "cancelled", 0),
    ],
)
def test_an_order_moves_forward_and_its_revenue_with_it(
    settings: Settings, connection: psycopg.Connection, steps: list[str], status: str, revenue: str, at_once: bool
) -> None:
    place(connection)
    for event_type in steps:
        if not at_once:
            advance(settings, "orders")
        step(connection, event_type)
    advance(settings, "orders")
    assert order(connection)["status"] == status
    counted = int(status == "completed")
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), 1, counted, Decimal(revenue))]


def test_hours_begin_where_the_business_is(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute("update penstock.configuration set timezone = 'Asia/Kolkata'")
    place(connection)
    advance(settings, "orders")
    assert rows(connection, "revenue_by_hour")[0][0] == datetime(2010, 12, 1, 7, 30, tzinfo=UTC)


def test_inventory_keeps_the_balance_and_every_change(settings: Settings, connection: psycopg.Connection) -> None:
    changes: list[tuple[str, dict[str, Any]]] = [
        ("InventoryAdjusted", {"delta": 10, "reason": "delivery"}),
        ("StockReserved", {"quantity": 4, "order_id": "o1"}),
        ("StockReserved", {"quantity": -4, "order_id": "o1"}),
        ("InventoryAdjusted", {"delta": "many"}),
        ("InventoryAdjusted", {"delta": 2**40}),
        ("InventoryAdjusted", {}),
        ("InventoryAdjusted", {"delta": -3}),
    ]
    for event_type, payload in changes:
        put(connection, "inventory/p1", event_type, payload)
    advance(settings, "inventory")
    assert connection.execute("select on_hand, reserved, available from inventory_current").fetchall() == [(7, 0, 7)]
    history = connection.execute(
        "select on_hand_change, reserved_change, on_hand_after, reserved_after, reason, order_id"
        " from inventory_history order by position"
    ).fetchall()
    assert history == [
        (10, 0, 10, 0, "delivery", None),
        (0, 4, 10, 4, None, "o1"),
        (0, -4, 10, 0, None, "o1"),
        (-3, 0, 7, 0, None, None),
    ]
    assert len(letters(connection)) == 3


def test_inventory_history_is_insert_only(settings: Settings, connection: psycopg.Connection) -> None:
    put(connection, "inventory/p1", "InventoryAdjusted", {"delta": 1})
    advance(settings, "inventory")
    for statement in (
        "update inventory_history set reason = 'x'",
        "delete from inventory_history",
        "truncate inventory_history",
    ):
        with pytest.raises(psycopg.Error) as caught:
            connection.execute(statement.encode())
        assert caught.value.sqlstate == "PK006"


def test_a_registration_beats_what_orders_say_of_a_customer(settings: Settings, connection: psycopg.Connection) -> None:
    place(connection, customer_id="c1", country="UK")
    advance(settings, "customers")
    assert connection.execute("select country, registered_at from customers").fetchall() == [("UK", None)]
    registered = {"name": "Ada", "country": "FR", "registered_at": "2010-11-01T00:00:00Z"}
    put(connection, "customer/c1", "CustomerRegistered", registered)
    place(connection, "o2", customer_id="c1", country="DE", placed_at="2011-01-01T00:00:00Z")
    advance(settings, "customers")
    found = connection.execute(
        "select name, country, registered_at::date::text, first_order_at::date::text, last_order_at::date::text"
        " from customers"
    ).fetchall()
    assert found == [("Ada", "FR", "2010-11-01", "2010-12-01", "2011-01-01")]


def test_a_listing_beats_what_order_lines_say_of_a_product(settings: Settings, connection: psycopg.Connection) -> None:
    line = {"product_id": "p1", "name": "Lamp", "category": "Home", "quantity": 1, "unit_price": "1"}
    place(connection, items=[line])
    advance(settings, "products")
    assert connection.execute("select name, category, listed_at from products").fetchall() == [("Lamp", "Home", None)]
    put(connection, "product/p1", "ProductListed", {"name": "Lantern", "category": "Light", "unit_price": "3.39"})
    place(connection, "o2", items=[line])
    advance(settings, "products")
    found = connection.execute("select name, category, unit_price from products").fetchall()
    assert found == [("Lantern", "Light", Decimal("3.39"))]


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


def test_every_read_model_belongs_to_one_projection() -> None:
    tables = [table for projection in projections().values() for table in projection.tables]
    assert len(tables) == len(set(tables)) == 7


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


@pytest.mark.parametrize("pieces", [1, 2])
def test_a_step_whose_time_cannot_be_read_is_parked_however_the_events_are_cut(
    settings: Settings, connection: psycopg.Connection, pieces: int
) -> None:
    step = put(connection, "order/o1", "PaymentReceived", {}, occurred_at="now")
    if pieces == 2:
        advance(settings, "orders")
    place(connection, "o1")
    advance(settings, "orders")
    assert letters(connection) == [("orders", str(step), True)]
    assert connection.execute("select status, version from orders").fetchall() == [("placed", 2)]
