"""The figures of a real month, to the last decimal, against what another engine computed from the same file."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import psycopg
import pytest

from penstock import views
from penstock.event_store.bulk import append_bulk
from penstock.postgres.pool import close_pools, connect
from penstock.projections import advance_all
from penstock.settings import Settings
from shop import figures as etl
from tests import throwaway
from tests.shop.online_retail import answers, order_streams

TOP = ("top_categories", "top_categories_by_revenue")


@pytest.fixture(scope="module")
def december() -> Iterator[psycopg.Connection]:
    """A database with the month's orders, projected, refreshed, and with its daily figures."""
    with throwaway.cloned_database(throwaway.EVERYTHING) as url:
        settings = Settings(database_url=url, environment="local")
        with connect(url) as connection:
            append_bulk(connection, order_streams())
            assert all(advanced.caught_up for advanced in advance_all(settings).values())
            for name in ("monthly_revenue", "user_cohorts", "product_performance"):
                views.refresh_view(connection, name)
            assert etl.run_range(settings, date(2010, 12, 1), date(2010, 12, 31)) == {"days": 31}
            yield connection
        close_pools()


def test_monthly_revenue(december: psycopg.Connection) -> None:
    (expected,) = answers("monthly_revenue")
    (row,) = views.read_view(december, "monthly_revenue").rows
    assert {key: str(row[key]) for key in expected} == expected
    # the wholesaler's file knows of no discount, shipping or tax, and the sample here has no credit notes
    same = {row[key] for key in ("revenue", "gross_sales", "net_revenue", "net_sales")}
    assert (row["currency"], same) == ("GBP", {Decimal("823746.140")})
    assert {row[key] for key in ("discounts", "shipping", "tax", "refunds")} == {0}


def test_daily_analytics_of_the_trading_days(december: psycopg.Connection) -> None:
    rows = {str(row["day"]): row for row in views.read_view(december, "daily_analytics").rows}
    expected = answers("daily_stats")
    assert len(expected) == 20
    for day in expected:
        row = rows[day["date"]]
        assert str(row["total_revenue"]) == day["revenue"]
        assert row["avg_order_value"] == Decimal(day["avg_order_value"])
        assert (row["order_count"], row["first_time_buyers"]) == (int(day["order_count"]), int(day["new_users"]))
        # nobody registered, and every order is completed
        assert row["new_users"] == row["first_time_buyers"]
        assert row["conversion_rate"] == round(Decimal(row["order_count"]) / row["new_users"], 6)
        assert row["completion_rate"] == 1


def test_days_without_orders_are_rows_of_zeros(december: psycopg.Connection) -> None:
    trading = {day["date"] for day in answers("daily_stats")}
    empty = [row for row in views.read_view(december, "daily_analytics").rows if str(row["day"]) not in trading]
    assert len(empty) == 11
    for row in empty:
        assert [row[key] for key in TOP] == [[], []]
        assert {row[key] for key in row if key not in ("day", "currency", "computed_at", *TOP)} == {0}


def test_the_top_20_products(december: psycopg.Connection) -> None:
    rows = views.read_view(december, "product_performance", max_count=20).rows
    shown = [{key: str(row[key]) for key in ("product_id", "units_sold", "revenue", "order_count")} for row in rows]
    assert shown == answers("product_top20")
    assert rows[0]["product_name"] == "REGENCY CAKESTAND 3 TIER"
    assert rows[0]["category"] == "uncategorized"


def test_the_cohort_of_the_month_is_its_customers_with_their_revenue(december: psycopg.Connection) -> None:
    (row,) = views.read_view(december, "user_cohorts").rows
    known = december.execute("select sum(total) from shop.orders where customer_id is not null").fetchone()
    assert row == {
        "cohort_month": date(2010, 12, 1),
        "months_since": 0,
        "currency": "GBP",
        "customers": 885,
        "revenue": known[0],
        "net_revenue": known[0],
    }


def test_hours_products_and_items_add_up_to_the_month(december: psycopg.Connection) -> None:
    for query in (
        "select sum(revenue) from revenue_by_hour",
        "select sum(revenue) from product_performance",
        "select sum(gross_sales) from product_performance",
        "select sum(net_sales) from daily_analytics",
        "select sum(amount) from shop.order_items",
        "select sum(total_revenue) from daily_analytics",
    ):
        assert december.execute(query).fetchone() == (Decimal("823746.140"),), query
    counts = december.execute("select sum(order_count), sum(placed_count) from revenue_by_hour").fetchone()
    assert counts == (1559, 1559)
