"""What becomes of each event in the read models: read leniently where there is one right answer, parked where not."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock.postgres.pool import close_pools
from penstock.projections import advance, advance_all, rebuild, runner
from penstock.settings import Settings
from tests.shop.projections.store import letters, place, put, read_models, rows

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
    assert rows(connection, "order_items") == [
        ("o1", 1, "p1", None, None, 2, Decimal("2.550"), Decimal("5.100"), 0, None)
    ]
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), "GBP", 1, 1, Decimal("5.100"))]


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
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), "XXX", 1, counted, Decimal(revenue))]


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


def test_the_latest_time_decides_in_whatever_order_events_come(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """Each in three orders of arrival, folded one by one and at once; of two at one time the later position holds."""
    months = ("2010-11-01T00:00:00Z", "2010-12-01T00:00:00Z", "2011-01-01T00:00:00Z")
    for number, order in enumerate(((0, 1, 2), (2, 0, 1), (2, 1, 0))):
        for month in (*order, order[-1]):
            at, name = months[month], f"as of {month}"
            line = {"product_id": f"seen{number}", "name": name, "category": name, "quantity": 1, "unit_price": "1"}
            bare = {"product_id": f"seen{number}", "quantity": 1, "unit_price": "1"}
            place(
                connection, f"{number}-{month}", customer_id=f"buyer{number}", country=name, placed_at=at, items=[line]
            )
            place(connection, f"{number}-{month}-bare", customer_id=f"buyer{number}", placed_at=months[2], items=[bare])
            put(connection, f"customer/c{number}", "CustomerRegistered", {"name": name, "registered_at": at})
            put(connection, f"product/p{number}", "ProductListed", {"name": name, "category": name}, occurred_at=at)
            if number != 1:
                advance_all(settings)
    put(connection, "product/p0", "ProductListed", {"name": "last said"}, occurred_at=months[2])
    put(connection, "customer/c0", "CustomerRegistered", {"name": "last said", "registered_at": months[2]})
    advance_all(settings)
    latest = "as of 2"
    listed = connection.execute("select product_id, name, category from products order by product_id").fetchall()
    assert listed == [
        *[(f"p{number}", latest if number else "last said", latest if number else None) for number in range(3)],
        *[(f"seen{number}", latest, latest) for number in range(3)],
    ]
    known = connection.execute("select customer_id, name, country from customers order by customer_id").fetchall()
    assert known == [
        *[(f"buyer{number}", None, latest) for number in range(3)],
        *[(f"c{number}", latest if number else "last said", None) for number in range(3)],
    ]
    live = read_models(connection)
    for projection in ("customers", "products"):
        rebuild(settings, projection)
    assert read_models(connection) == live


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
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), "XXX", 1, 0, 0)]


def test_an_order_that_is_voided_may_begin_once_more(settings: Settings, connection: psycopg.Connection) -> None:
    place(connection, customer_id="c1")
    step(connection, "OrderCompleted")
    put(connection, "order/o1", "OrderVoided", {})
    step(connection, "OrderCompleted")
    put(connection, "order/o1", "OrderAmended", {"total": "3"})
    advance(settings, "orders")
    assert rows(connection, "orders") == rows(connection, "order_items") == []
    assert rows(connection, "revenue_by_hour") == [(PLACED_AT.replace(minute=0), "XXX", 0, 0, 0)]
    again = place(connection, customer_id="c2")
    advance(settings, "orders")
    row = order(connection)
    assert (row["status"], row["customer_id"], row["completed_at"], row["version"]) == ("placed", "c2", None, 6)
    assert row["placed_position"] == again
