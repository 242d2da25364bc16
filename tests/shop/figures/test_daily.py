"""The daily figures: each step twice is once, days come from the caller, late facts and missed days are caught up."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from penstock.errors import InvalidInput, NotFound
from penstock.postgres.pool import close_pools
from penstock.projections import advance, rebuild
from penstock.settings import Settings
from shop import figures as etl
from tests.shop.projections.store import put

FIRST, SECOND, THIRD = date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 3)


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


def sell(
    connection: psycopg.Connection, order_id: str, placed_at: str, *, completed: bool = True, **payload: Any
) -> None:
    items = payload.pop("items", [("p1", None, 1, "10.00")])
    lines = [
        {"product_id": product, "category": category, "quantity": quantity, "unit_price": price}
        for product, category, quantity, price in items
    ]
    placed = {"currency": "GBP", "placed_at": placed_at, "items": lines, **payload}
    put(connection, f"order/{order_id}", "OrderPlaced", placed)
    if completed:
        put(connection, f"order/{order_id}", "OrderCompleted", {})


def figures(connection: psycopg.Connection, *columns: str) -> list[tuple[Any, ...]]:
    every = ("order_count", "total_revenue", "avg_order_value", "first_time_buyers", "completion_rate")
    names = ", ".join(columns or every)
    return connection.execute(f"select day::text, {names} from daily_analytics order by day".encode()).fetchall()


def test_a_day_is_computed_from_its_orders(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T00:00:00Z", customer_id="c1")
    sell(connection, "b", "2024-03-01T23:59:59.999Z", customer_id="c1", total="0.01")
    sell(connection, "c", "2024-03-01T12:00:00Z", customer_id="c2", completed=False)
    sell(connection, "d", "2024-03-02T00:00:00Z", customer_id="c2", total="3")
    sell(connection, "e", "2024-03-02T12:00:00Z", customer_id=None, total="4")
    sell(connection, "f", "2024-03-04T00:00:00Z")
    assert etl.run_range(settings, FIRST, THIRD) == {"days": 3}
    assert figures(connection) == [
        ("2024-03-01", 2, Decimal("10.01"), Decimal("5.005"), 1, Decimal("0.666667")),
        ("2024-03-02", 2, Decimal(7), Decimal("3.5"), 1, Decimal(1)),
        ("2024-03-03", 0, Decimal(0), Decimal(0), 0, Decimal(0)),
    ]


def test_a_day_of_orders_none_of_which_completed_is_zeros(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", completed=False, customer_id="c1")
    etl.run_range(settings, FIRST, FIRST)
    assert figures(connection) == [("2024-03-01", 0, 0, 0, 0, 0)]
    assert figures(connection, "placed_count", "top_categories") == [("2024-03-01", 1, [])]


def test_days_begin_where_the_business_is(settings: Settings, connection: psycopg.Connection) -> None:
    """Also on the day that daylight saving makes an hour shorter."""
    connection.execute("update penstock.configuration set timezone = 'America/New_York'")
    sell(connection, "a", "2024-03-10T04:59:59Z")
    sell(connection, "b", "2024-03-10T05:00:00Z")
    sell(connection, "c", "2024-03-11T03:59:59Z")
    sell(connection, "d", "2024-03-11T04:00:00Z")
    etl.run_range(settings, date(2024, 3, 9), date(2024, 3, 11))
    assert figures(connection, "order_count") == [("2024-03-09", 1), ("2024-03-10", 2), ("2024-03-11", 1)]


def test_the_five_best_categories_of_a_day(settings: Settings, connection: psycopg.Connection) -> None:
    put(connection, "product/p1", "ProductListed", {"name": "Cake", "category": "Food"})
    items = [
        ("p1", None, 2, "30.00"),
        ("p1", "Gifts", 1, "50.00"),
        ("unknown", None, 3, "15.00"),
        *((f"p{number}", f"Other {number}", 1, "1.00") for number in (4, 3, 2)),
    ]
    sell(connection, "a", "2024-03-01T10:00:00Z", items=items)
    sell(connection, "b", "2024-03-01T11:00:00Z", items=[("p9", "Gifts", 4, "0.25")])
    sell(connection, "c", "2024-03-01T12:00:00Z", items=[("p9", "Never", 4, "99")], completed=False)
    etl.run_range(settings, FIRST, FIRST)
    ((_, by_units, top),) = figures(connection, "top_categories", "top_categories_by_revenue")
    assert [(each["category"], each["units"]) for each in by_units] == [
        ("Gifts", 5),
        ("uncategorized", 3),
        ("Food", 2),
        ("Other 2", 1),
        ("Other 3", 1),
    ]
    assert top == [
        {"category": "Food", "revenue": "60.00", "units": 2},
        {"category": "Gifts", "revenue": "51.00", "units": 5},
        {"category": "uncategorized", "revenue": "45.00", "units": 3},
        {"category": "Other 2", "revenue": "1.00", "units": 1},
        {"category": "Other 3", "revenue": "1.00", "units": 1},
    ]


def test_categories_of_equal_revenue_come_by_name(settings: Settings, connection: psycopg.Connection) -> None:
    """Capitals first, as bytes sort, and not by chance: the planner is kept from sorting for the grouping."""
    connection.execute(
        sql.SQL("alter database {} set enable_sort = off").format(sql.Identifier(connection.info.dbname))
    )
    names = [letter * number for letter in "zBaYé" for number in range(1, 9)]
    sell(connection, "a", "2024-03-01T10:00:00Z", items=[(name, name, 1, "5") for name in names])
    etl.run_range(settings, FIRST, FIRST)
    ((_, *tops),) = figures(connection, "top_categories", "top_categories_by_revenue")
    for top in tops:
        assert [category["category"] for category in top] == ["B", "BB", "BBB", "BBBB", "BBBBB"]


def test_orders_outside_the_days_are_not_extracted(settings: Settings, connection: psycopg.Connection) -> None:
    """Neither an instant before the first day nor at the end of the last; in New York here."""
    connection.execute("update penstock.configuration set timezone = 'America/New_York'")
    for number, placed_at in enumerate(("04:59:59.999999", "05:00:00", "23:00:00")):
        sell(connection, f"first{number}", f"2024-03-01T{placed_at}Z")
    for number, placed_at in enumerate(("2024-03-02T04:59:59.999999Z", "2024-03-02T05:00:00Z", "2024-05-01T00:00:00Z")):
        sell(connection, f"last{number}", placed_at)
    portion = etl.extract(settings, [FIRST])
    found = connection.execute("select order_id from staging.daily_orders order by 1").fetchall()
    assert [order_id for (order_id,) in found] == ["first1", "first2", "last0"]
    assert portion["orders"] == 3


def test_every_step_may_run_twice(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", customer_id="c1")
    batch = uuid4()
    once = etl.extract(settings, [FIRST, SECOND], batch_id=batch)
    assert etl.extract(settings, [FIRST, SECOND], batch_id=str(batch)) == once
    assert (once["batch_id"], once["orders"], once["days"]) == (str(batch), 1, 2)
    assert etl.transform(settings, batch) == etl.transform(settings, str(batch)) == {"days": 2}
    assert etl.load(settings, batch) == {"days": 2}
    loaded = figures(connection)
    assert etl.load(settings, batch) == {"days": 2}
    assert figures(connection) == loaded
    assert connection.execute("select count(*) from staging.daily_orders").fetchone() == (1,)


def test_a_retried_extract_takes_its_batch_back_to_the_first_step(
    settings: Settings, connection: psycopg.Connection
) -> None:
    batch = etl.extract(settings, [FIRST, SECOND])["batch_id"]
    etl.transform(settings, batch)
    etl.extract(settings, [FIRST], batch_id=batch)
    with pytest.raises(NotFound):
        etl.load(settings, batch)


def test_an_old_batch_loaded_late_does_not_undo_a_newer_one(settings: Settings, connection: psycopg.Connection) -> None:
    old = etl.extract(settings, [FIRST])["batch_id"]
    etl.transform(settings, old)
    sell(connection, "a", "2024-03-01T10:00:00Z")
    etl.run_range(settings, FIRST, FIRST)
    etl.load(settings, old)
    assert figures(connection, "order_count") == [("2024-03-01", 1)]


def test_late_facts_change_the_figures_at_the_next_run(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-02T10:00:00Z", customer_id="c1")
    etl.run_range(settings, FIRST, SECOND)
    assert figures(connection, "first_time_buyers") == [("2024-03-01", 0), ("2024-03-02", 1)]
    sell(connection, "late", "2024-03-01T10:00:00Z", customer_id="c1")
    put(connection, "order/a", "OrderCancelled", {})
    etl.run_range(settings, FIRST, SECOND)
    assert figures(connection, "order_count", "first_time_buyers") == [("2024-03-01", 1, 1), ("2024-03-02", 0, 0)]


def test_figures_survive_a_rebuild_of_the_orders(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", customer_id="c1")
    etl.run_range(settings, FIRST, FIRST)
    before = figures(connection)
    rebuild(settings, "orders")
    etl.run_range(settings, FIRST, FIRST)
    assert figures(connection) == before


def due_days(settings: Settings, today: date) -> tuple[int, date, date]:
    (days,) = etl.find_due(settings, today)
    return len(days), days[-1], days[0]


def test_without_orders_yesterday_and_the_overlap_are_due(settings: Settings) -> None:
    assert due_days(settings, date(2024, 3, 10)) == (3, date(2024, 3, 7), date(2024, 3, 9))
    without = Settings(database_url=settings.database_url, environment="local", etl_overlap_days=0)
    assert due_days(without, date(2024, 3, 10)) == (1, date(2024, 3, 9), date(2024, 3, 9))


def test_missed_days_are_due_since_the_first_order(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-02-01T10:00:00Z")
    assert due_days(settings, date(2024, 3, 10)) == (38, date(2024, 2, 1), date(2024, 3, 9))
    etl.run_range(settings, date(2024, 3, 1), date(2024, 3, 1))
    assert due_days(settings, date(2024, 3, 10)) == (37, date(2024, 2, 1), date(2024, 3, 9))
    etl.run_range(settings, date(2024, 2, 1), date(2024, 3, 4))
    assert due_days(settings, date(2024, 3, 10)) == (5, date(2024, 3, 5), date(2024, 3, 9))
    etl.run_range(settings, date(2024, 3, 5), date(2024, 3, 9))
    assert due_days(settings, date(2024, 3, 10)) == (3, date(2024, 3, 7), date(2024, 3, 9))


def test_an_order_of_the_future_makes_no_day_due_before_its_time(
    settings: Settings, connection: psycopg.Connection
) -> None:
    sell(connection, "a", "2190-01-01T10:00:00Z")
    etl.run_range(settings, FIRST, FIRST)
    assert due_days(settings, date(2024, 3, 10)) == (3, date(2024, 3, 7), date(2024, 3, 9))


def test_a_step_without_the_one_before_is_refused(settings: Settings) -> None:
    with pytest.raises(NotFound):
        etl.transform(settings, UUID(int=1))
    with pytest.raises(NotFound):
        etl.load(settings, UUID(int=1))
    batch = etl.extract(settings, [FIRST])["batch_id"]
    with pytest.raises(NotFound):
        etl.load(settings, batch)


def test_a_span_that_ends_before_it_begins_or_never_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match="from"):
        etl.run_range(settings, SECOND, FIRST)
    with pytest.raises(InvalidInput):
        etl.run_range(settings, date(1, 1, 1), date(2024, 1, 1))


@pytest.mark.parametrize("batch_id", ["x", "", "'; drop table orders"])
def test_a_batch_id_that_is_none_is_refused(settings: Settings, batch_id: str) -> None:
    with pytest.raises(InvalidInput):
        etl.transform(settings, batch_id)


def test_old_batches_are_swept_from_staging(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z")
    put(connection, "credit_note/n", "CreditNoteIssued", {"issued_at": "2024-03-01T10:00:00Z", "total": "1"})
    etl.run_range(settings, FIRST, FIRST)
    connection.execute("update staging.daily_batches set extracted_at = %s", (datetime(2024, 1, 1, tzinfo=UTC),))
    etl.run_range(settings, FIRST, FIRST)
    for table, rows in (("batches", 1), ("days", 1), ("orders", 1), ("sales", 1), ("refunds", 1), ("figures", 2)):
        assert connection.execute(f"select count(*) from staging.daily_{table}".encode()).fetchone() == (rows,), table


def test_a_batch_is_transformed_from_what_was_extracted_alone(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """Whatever becomes of the orders meanwhile: a run that is retried ends the same."""
    items = [("p1", "Food", 2, "5.00"), ("p2", None, 1, "3.00"), ("p3", None, 1, "1.00")]
    sell(connection, "a", "2024-03-01T10:00:00Z", customer_id="c1", items=items)
    put(connection, "product/p2", "ProductListed", {"name": "P2", "category": "Gifts", "unit_price": "3.00"})
    batch = etl.extract(settings, [FIRST])["batch_id"]
    connection.execute("truncate shop.orders, shop.order_items, shop.products")
    sell(connection, "b", "2024-02-01T10:00:00Z", customer_id="c1")
    advance(settings, "orders")
    etl.transform(settings, batch)
    etl.load(settings, batch)
    assert figures(connection, "order_count", "first_time_buyers") == [("2024-03-01", 1, 1)]
    [(_, categories)] = figures(connection, "top_categories")
    assert [(category["category"], category["units"]) for category in categories] == [
        ("Food", 2),
        ("Gifts", 1),
        ("uncategorized", 1),
    ]


def test_two_first_orders_of_one_moment_are_one_new_customer(
    settings: Settings, connection: psycopg.Connection
) -> None:
    for order_id in ("a", "b"):
        sell(connection, order_id, "2024-03-01T10:00:00Z", customer_id="c1")
    etl.run_range(settings, FIRST, FIRST)
    assert figures(connection, "first_time_buyers") == [("2024-03-01", 1)]
