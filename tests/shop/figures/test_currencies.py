"""Days in several currencies: each has a row for each, whatever came late, and nothing adds two."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock import views
from penstock.postgres.pool import close_pools
from penstock.projections import advance_all
from penstock.settings import Settings
from shop import figures as etl
from tests.shop.figures.test_daily import FIRST, SECOND, THIRD, sell
from tests.shop.projections.store import put

TODAY = date(2024, 3, 4)


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without overlap: what is due is due because it changed."""
    return Settings(database_url=settings.database_url, environment="local", etl_overlap_days=0)


def compute(settings: Settings) -> None:
    assert list(etl.run_due(settings, TODAY))


def days(connection: psycopg.Connection, *columns: str) -> list[tuple[Any, ...]]:
    names = ", ".join(("to_char(day, 'MM-DD')", "currency", *columns))
    return connection.execute(f"select {names} from daily_analytics order by day, currency".encode()).fetchall()


def test_each_day_has_a_row_for_each_currency_that_there_is(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", currency="EUR", total="3")
    sell(connection, "b", "2024-03-01T11:00:00Z", currency="JPY", total="5000")
    sell(connection, "c", "2024-03-03T11:00:00Z", currency="JPY", total="7000", completed=False)
    compute(settings)
    assert days(connection, "placed_count", "total_revenue") == [
        ("03-01", "EUR", 1, 3),
        ("03-01", "JPY", 1, 5000),
        ("03-02", "EUR", 0, 0),
        ("03-02", "JPY", 0, 0),
        ("03-03", "EUR", 0, 0),
        ("03-03", "JPY", 1, 0),
    ]


def test_a_currency_that_comes_late_gets_its_rows_of_the_days_before(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """One day is computed again, the others are only filled: with the new users that they had."""
    for number in range(1, 4):
        sell(
            connection,
            f"o{number}",
            f"2024-03-0{number}T10:00:00Z",
            currency="EUR",
            customer_id=f"c{number}",
            total="1",
        )
    compute(settings)
    put(
        connection,
        "credit_note/n",
        "CreditNoteIssued",
        {"issued_at": "2024-03-02T10:00:00Z", "total": "4", "currency": "USD"},
    )
    advance_all(settings)
    assert [portion["days"] for portion in etl.run_due(settings, TODAY, marked_only=True)] == [1]
    assert days(connection, "order_count", "net_revenue", "new_users", "conversion_rate", "top_categories") == [
        ("03-01", "EUR", 1, 1, 1, 1, [{"category": "uncategorized", "revenue": "10.00", "units": 1}]),
        ("03-01", "USD", 0, 0, 1, 0, []),
        ("03-02", "EUR", 1, 1, 1, 1, [{"category": "uncategorized", "revenue": "10.00", "units": 1}]),
        ("03-02", "USD", 0, -4, 1, 0, []),
        ("03-03", "EUR", 1, 1, 1, 1, [{"category": "uncategorized", "revenue": "10.00", "units": 1}]),
        ("03-03", "USD", 0, 0, 1, 0, []),
    ]


def test_a_currency_that_is_gone_leaves_no_row(settings: Settings, connection: psycopg.Connection) -> None:
    """Its last order was amended to another: of all days that were computed, one is computed again."""
    for number in range(1, 4):
        sell(
            connection, f"o{number}", f"2024-03-0{number}T10:00:00Z", currency="EUR" if number > 1 else "USD", total="1"
        )
    compute(settings)
    assert len(days(connection)) == 6
    put(connection, "order/o1", "OrderAmended", {"placed_at": "2024-03-01T10:00:00Z", "currency": "EUR", "total": "2"})
    advance_all(settings)
    assert [portion["days"] for portion in etl.run_due(settings, TODAY, marked_only=True)] == [1]
    assert days(connection, "total_revenue") == [("03-01", "EUR", 2), ("03-02", "EUR", 1), ("03-03", "EUR", 1)]


def test_before_the_first_order_a_day_still_knows_who_registered(
    settings: Settings, connection: psycopg.Connection
) -> None:
    put(connection, "customer/c1", "CustomerRegistered", {"registered_at": "2024-03-01T10:00:00Z"})
    advance_all(settings)
    compute(settings)
    assert days(connection, "new_users") == [("03-01", "XXX", 1), ("03-03", "XXX", 0)]
    sell(connection, "a", "2024-03-02T10:00:00Z", currency="EUR", customer_id="c1")
    compute(settings)
    assert days(connection, "new_users", "order_count") == [
        ("03-01", "EUR", 1, 0),
        ("03-02", "EUR", 0, 1),
        ("03-03", "EUR", 0, 0),
    ]


def test_an_old_batch_loaded_late_adds_its_days_and_no_currency(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """What it extracted when there was none is a day of the currencies that there are since."""
    put(connection, "customer/c1", "CustomerRegistered", {"registered_at": "2024-03-01T10:00:00Z"})
    old = etl.extract(settings, [FIRST])["batch_id"]
    etl.transform(settings, old)
    sell(connection, "a", "2024-03-02T10:00:00Z", currency="EUR")
    sell(connection, "b", "2024-03-03T10:00:00Z", currency="USD")
    etl.run_range(settings, SECOND, THIRD)
    etl.load(settings, old)
    assert days(connection, "new_users", "order_count") == [
        ("03-01", "EUR", 1, 0),
        ("03-01", "USD", 1, 0),
        ("03-02", "EUR", 0, 1),
        ("03-02", "USD", 0, 0),
        ("03-03", "EUR", 0, 0),
        ("03-03", "USD", 0, 1),
    ]


def test_an_order_without_a_currency_is_added_to_no_other(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", currency="EUR", total="1")
    sell(connection, "b", "2024-03-01T10:00:00Z", currency=None, total="2")
    etl.run_range(settings, FIRST, FIRST)
    assert days(connection, "total_revenue") == [("03-01", "EUR", 1), ("03-01", "XXX", 2)]


def test_a_first_purchase_is_of_one_currency_though_two_are_of_one_moment(
    settings: Settings, connection: psycopg.Connection
) -> None:
    sell(connection, "b", "2024-03-01T10:00:00Z", currency="EUR", customer_id="c1")
    sell(connection, "a", "2024-03-01T10:00:00Z", currency="USD", customer_id="c1")
    etl.run_range(settings, FIRST, FIRST)
    assert days(connection, "first_time_buyers", "new_users") == [("03-01", "EUR", 0, 1), ("03-01", "USD", 1, 1)]


def test_cohorts_are_of_the_first_order_in_any_currency(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", currency="EUR", customer_id="c1", total="1")
    sell(connection, "b", "2024-05-01T10:00:00Z", currency="USD", customer_id="c1", total="2")
    back = {"refunded_at": "2024-04-01T10:00:00Z", "currency": "EUR", "amount": "1", "refund_id": "r"}
    put(connection, "order/a", "OrderRefunded", back)
    advance_all(settings)
    views.refresh_view(connection, "user_cohorts")
    rows = views.read_view(connection, "user_cohorts").rows
    assert [tuple(row.values()) for row in rows] == [
        (FIRST, 0, "EUR", 1, 1, 1),
        (FIRST, 1, "EUR", 0, 0, -1),
        (FIRST, 2, "USD", 1, 2, 2),
    ]


def test_a_month_that_only_gave_back_is_a_month(settings: Settings, connection: psycopg.Connection) -> None:
    """Also one before the first order and one after the last."""
    sell(connection, "a", "2024-03-01T10:00:00Z", currency="EUR", total="5")
    for number, day in enumerate(("2024-01-31", "2024-05-01")):
        note = {"issued_at": f"{day}T10:00:00Z", "currency": "EUR", "total": "1"}
        put(connection, f"credit_note/{number}", "CreditNoteIssued", note)
    advance_all(settings)
    views.refresh_view(connection, "monthly_revenue")
    rows = views.read_view(connection, "monthly_revenue").rows
    assert [(row["month"].month, row["order_count"], row["avg_order_value"], row["net_revenue"]) for row in rows] == [
        (5, 0, 0, -1),
        (3, 1, 5, 5),
        (1, 0, 0, Decimal(-1)),
    ]
