"""Views: refreshed once for all who wait, read page by page, and no name from outside in any SQL."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock import errors, views
from penstock.postgres import keyset
from penstock.postgres.pool import close_pools, connect
from penstock.projections import advance_all
from penstock.settings import Settings
from shop import DOMAIN
from tests.shop.projections.store import put
from tests.shop.registry import MATERIALIZED
from tests.waiting import PATIENCE_SECONDS

NAMES = [view.name for view in DOMAIN.views]
IN_CURRENCIES = [view.name for view in DOMAIN.views if "currency" in {key.column for key in view.keys}]
TABLES = [view.name for view in DOMAIN.views if view.kind == "table"]


@pytest.fixture
def shop(settings: Settings, connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """25 months; in each one order of a product of its own, all products but the last two of equal revenue."""
    for month in range(25):
        placed_at = f"{2008 + month // 12}-{month % 12 + 1:02}-01T10:30:00Z"
        price = {23: "7.50", 24: "2.500"}.get(month, "5")
        items = [{"product_id": f"p{month:02}", "quantity": 1, "unit_price": price}]
        placed = {"placed_at": placed_at, "items": items, "customer_id": f"c{month % 7}", "currency": "GBP"}
        put(connection, f"order/{month}", "OrderPlaced", placed)
        put(connection, f"order/{month}", "OrderCompleted", {})
    advance_all(settings)
    connection.execute(
        "insert into daily_analytics (day, currency, new_users, computed_at) select d::date, 'GBP', 0, '2024-01-01' "
        "from generate_series('2008-01-01'::timestamp, '2008-01-25', '1 day') as d"
    )
    connection.execute("insert into shop.exchange_rates values ('2008-01-07', 'GBP', 'EUR', 1.34)")
    for name in MATERIALIZED:
        views.refresh_view(connection, name)
    yield connection
    close_pools()


@pytest.mark.parametrize("limit", [1, 3, 25, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_pages_together_are_the_whole_view_in_order(shop: psycopg.Connection, name: str, limit: int) -> None:
    whole = views.read_view(shop, name, max_count=1000)
    assert whole.next is None
    assert len(whole.rows) >= 25
    pages, after = [], None
    while True:
        page = views.read_view(shop, name, after=after, max_count=limit)
        assert 0 < len(page.rows) <= limit
        pages += page.rows
        if page.next is None:
            break
        after = page.next
    assert pages == whole.rows


@pytest.mark.parametrize("name", ["monthly_revenue", "user_cohorts", "daily_analytics", "revenue_by_hour"])
def test_before_leaves_out_what_is_not_older(shop: psycopg.Connection, name: str) -> None:
    column = views.views()[name].keys[0].column
    whole = views.read_view(shop, name, max_count=1000).rows
    older = [row for row in whole if str(row[column]) < "2008-01-03"]
    page = views.read_view(shop, name, before=date(2008, 1, 3), max_count=2)
    assert page.rows == older[:2]
    if page.next:
        rest = views.read_view(shop, name, before=date(2008, 1, 3), after=page.next, max_count=1000)
        assert page.rows + rest.rows == older


def test_before_is_refused_where_time_is_not_the_order(connection: psycopg.Connection) -> None:
    with pytest.raises(errors.InvalidInput, match="before"):
        views.read_view(connection, "product_performance", before=date(2008, 1, 3))


def test_a_page_of_one_currency_leaves_out_the_others(settings: Settings, shop: psycopg.Connection) -> None:
    """Also in the middle of a page, and the next one goes on with it."""
    for number, currency in enumerate(("EUR", "JPY", "GBP") * 3):
        items = [{"product_id": f"p{number}", "quantity": 1, "unit_price": "5000"}]
        placed = {"placed_at": "2009-06-01T10:30:00Z", "items": items, "customer_id": "c0", "currency": currency}
        put(shop, f"order/more{number}", "OrderPlaced", placed)
        put(shop, f"order/more{number}", "OrderCompleted", {})
    advance_all(settings)
    shop.execute(
        "insert into daily_analytics (day, currency, new_users, computed_at) select day, c, 0, computed_at"
        " from daily_analytics, unnest('{EUR,JPY}'::text[]) as c"
    )
    for name in MATERIALIZED:
        views.refresh_view(shop, name)
    for name in IN_CURRENCIES:
        whole = views.read_view(shop, name, max_count=1000).rows
        assert {row["currency"] for row in whole} == {"EUR", "GBP", "JPY"}, name
        for currency in ("EUR", "GBP", "JPY"):
            mine = [row for row in whole if row["currency"] == currency]
            first = views.read_view(shop, name, currency=currency, max_count=1)
            rest = (
                views.read_view(shop, name, currency=currency, after=first.next, max_count=1000) if first.next else None
            )
            assert first.rows + (rest.rows if rest else []) == mine, name
        assert views.read_view(shop, name, currency="USD").rows == []


@pytest.mark.parametrize("currency", ["", "eur", "EURO", "E\x00R", "EUR\n", "' or", "ÉUR"])
def test_what_is_no_currency_is_refused(connection: psycopg.Connection, currency: str) -> None:
    with pytest.raises(errors.InvalidInput, match="currency"):
        views.read_view(connection, "monthly_revenue", currency=currency)


def test_a_currency_is_refused_where_there_is_none(connection: psycopg.Connection) -> None:
    with pytest.raises(errors.InvalidInput, match="not by currency"):
        views.read_view(connection, "daily_revenue_total_converted", currency="EUR")


def test_products_come_by_revenue_and_months_newest_first(shop: psycopg.Connection) -> None:
    products = [row["product_id"] for row in views.read_view(shop, "product_performance").rows]
    assert products == ["p23", *(f"p{number:02}" for number in range(23)), "p24"]
    months = [row["month"] for row in views.read_view(shop, "monthly_revenue").rows]
    assert months == sorted(months, reverse=True)


def test_cohorts_count_who_came_back_and_for_how_much(shop: psycopg.Connection) -> None:
    rows = views.read_view(shop, "user_cohorts").rows
    first = [row for row in rows if str(row["cohort_month"]) == "2008-01-01"]
    assert [(row["months_since"], row["customers"], row["revenue"]) for row in first] == [
        (0, 1, Decimal(5)), (7, 1, Decimal(5)), (14, 1, Decimal(5)), (21, 1, Decimal(5)),
    ]  # fmt: skip
    assert len({row["cohort_month"] for row in rows}) == 7


def test_months_begin_where_the_business_is(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute("update penstock.configuration set timezone = 'Pacific/Auckland'")
    put(connection, "order/a", "OrderPlaced", {"placed_at": "2010-11-30T11:00:00Z", "total": "1"})
    put(connection, "order/a", "OrderCompleted", {})
    advance_all(settings)
    views.refresh_view(connection, "monthly_revenue")
    (row,) = views.read_view(connection, "monthly_revenue").rows
    assert (str(row["month"]), row["unique_customers"]) == ("2010-12-01", 0)
    close_pools()


def test_cohorts_begin_where_the_business_is(settings: Settings, connection: psycopg.Connection) -> None:
    """Both orders are of December in Auckland; by UTC the first would be of November and the second a return."""
    connection.execute("update penstock.configuration set timezone = 'Pacific/Auckland'")
    for order_id, placed_at in (("a", "2010-11-30T11:00:00Z"), ("b", "2010-12-30T11:00:00Z")):
        put(connection, f"order/{order_id}", "OrderPlaced", {"placed_at": placed_at, "total": "1", "customer_id": "c"})
        put(connection, f"order/{order_id}", "OrderCompleted", {})
    advance_all(settings)
    views.refresh_view(connection, "user_cohorts")
    (row,) = views.read_view(connection, "user_cohorts").rows
    assert (str(row["cohort_month"]), row["months_since"], row["customers"], row["revenue"]) == ("2010-12-01", 0, 1, 2)
    close_pools()


@pytest.mark.parametrize(
    "after", ["", "x", "!!!!", "e30", "W10", "bnVsbA", "a" * 2000, "WyJtb250aGx5X3JldmVudWUiLG51bGxd", "é"]
)
def test_a_foreign_cursor_is_refused(shop: psycopg.Connection, after: str) -> None:
    with pytest.raises(errors.InvalidInput, match="after"):
        views.read_view(shop, "monthly_revenue", after=after)


@pytest.mark.parametrize("value", ["x", "2010-13-01", "\x00", "infinity days", "' or true --"])
def test_a_forged_cursor_is_refused(shop: psycopg.Connection, value: str) -> None:
    view = views.find_view("monthly_revenue")
    forged = keyset.encode_cursor(view.name, view.keys, {key.column: "GBP" for key in view.keys} | {"month": value})
    with pytest.raises(errors.InvalidInput, match="after"):
        views.read_view(shop, "monthly_revenue", after=forged)


def test_the_cursor_of_another_view_is_refused(shop: psycopg.Connection) -> None:
    page = views.read_view(shop, "monthly_revenue", max_count=1)
    with pytest.raises(errors.InvalidInput, match="daily_analytics"):
        views.read_view(shop, "daily_analytics", after=page.next)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_beyond_the_page_is_refused(connection: psycopg.Connection, limit: int) -> None:
    with pytest.raises(errors.InvalidInput, match="limit"):
        views.read_view(connection, "monthly_revenue", max_count=limit)


@pytest.mark.parametrize("name", ["orders", "event_store", "", "monthly_revenue; drop table orders", 'x"', "ops.views"])
def test_only_registered_names_are_views(connection: psycopg.Connection, name: str) -> None:
    for call in (views.read_view, views.refresh_view):
        with pytest.raises(errors.NotFound, match="no view is named"):
            call(connection, name)
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("select public.refresh_materialized_view(%s)", (name,))
    assert caught.value.sqlstate == "PK007"


def test_no_name_at_all_is_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.Error) as caught:
        connection.execute("select public.refresh_materialized_view(null)")
    assert caught.value.sqlstate == "PK007"


def test_a_table_has_nothing_to_refresh(connection: psycopg.Connection) -> None:
    for name in TABLES:
        with pytest.raises(errors.InvalidInput, match="is a table"):
            views.refresh_view(connection, name)


def test_a_refresh_says_since_when_and_how_long(shop: psycopg.Connection) -> None:
    began = datetime.now(UTC)
    refreshed = views.refresh_view(shop, "user_cohorts")
    assert began - timedelta(seconds=1) < refreshed.refreshed_at <= datetime.now(UTC) + timedelta(seconds=1)
    assert (refreshed.view, refreshed.coalesced) == ("user_cohorts", False)
    assert refreshed.duration_ms > 0
    listed = {view.name: view for view in views.list_views(shop)}
    assert listed["user_cohorts"].refreshed_at == refreshed.refreshed_at
    assert listed["user_cohorts"].duration_ms == refreshed.duration_ms
    assert views.read_view(shop, "user_cohorts").refreshed_at == refreshed.refreshed_at


def test_tables_are_as_fresh_as_what_fills_them(shop: psycopg.Connection) -> None:
    listed = {view.name: view for view in views.list_views(shop)}
    assert listed["daily_analytics"].refreshed_at == datetime(2024, 1, 1, tzinfo=UTC)
    moved = shop.execute("select updated_at from ops.subscriptions where subscription = 'orders'").fetchone()
    assert (listed["revenue_by_hour"].refreshed_at,) == moved
    assert listed["revenue_by_hour"].duration_ms is None


def test_a_fresh_database_lists_and_reads_every_view(connection: psycopg.Connection) -> None:
    assert [view.name for view in views.list_views(connection)] == list(views.views())
    for name in views.views():
        page = views.read_view(connection, name)
        assert (page.rows, page.next) == ([], None)


def test_calls_that_meet_share_a_refresh_that_began_after_them(settings: Settings, shop: psycopg.Connection) -> None:
    """One refresh runs and holds the row; all who come meanwhile are answered by one more, the first of them."""
    answers: list[views.Refreshed] = []
    with connect(settings.database_url) as first:
        with first.transaction():
            running = views.refresh_view(first, "monthly_revenue")
            callers = [threading.Thread(target=_refresh, args=(settings, answers)) for _ in range(8)]
            for caller in callers:
                caller.start()
            _until_waiting(shop, 8)
            shop.execute("update orders set total = 1")
        for caller in callers:
            caller.join()
    assert [answer.coalesced for answer in answers].count(False) == 1
    assert len({answer.refreshed_at for answer in answers}) == 1
    assert answers[0].refreshed_at > running.refreshed_at
    assert {row["revenue"] for row in views.read_view(shop, "monthly_revenue").rows} == {Decimal(1)}


def _refresh(settings: Settings, answers: list[views.Refreshed]) -> None:
    with connect(settings.database_url) as connection:
        answers.append(views.refresh_view(connection, "monthly_revenue"))


def _until_waiting(connection: psycopg.Connection, number: int) -> None:
    query = (
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%refresh_materialized%'"
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    while connection.execute(query).fetchone() != (number,):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_readers_go_on_while_a_view_is_refreshed(settings: Settings, shop: psycopg.Connection) -> None:
    with connect(settings.database_url) as refreshing, refreshing.transaction():
        for name in MATERIALIZED:
            views.refresh_view(refreshing, name)
        shop.execute("set lock_timeout = '1s'")
        for name in MATERIALIZED:
            assert len(views.read_view(shop, name).rows) >= 25


def test_two_different_views_refresh_at_the_same_time(settings: Settings, shop: psycopg.Connection) -> None:
    with connect(settings.database_url) as other, other.transaction():
        views.refresh_view(other, "user_cohorts")
        shop.execute("set lock_timeout = '1s'")
        assert not views.refresh_view(shop, "monthly_revenue").coalesced


@pytest.mark.parametrize(
    ("role", "reads", "refreshes"),
    [("anon", False, False), ("authenticated", False, False), ("analyst", True, False), ("service_role", True, True)],
)
def test_each_role_may_do_what_it_is_for(
    connection: psycopg.Connection, role: str, reads: bool, refreshes: bool
) -> None:
    connection.execute(f"set role {role}".encode())
    for table in [
        *(f"public.{view}" for view in views.views()),
        *(table for projection in DOMAIN.projections for table in projection.tables),
    ]:
        assert _allowed(connection, f"select count(*) from {table}") is reads
        assert not _allowed(connection, f"delete from {table}")
    assert _allowed(connection, "select public.refresh_materialized_view('monthly_revenue')") is refreshes


def _allowed(connection: psycopg.Connection, statement: str) -> bool:
    try:
        connection.execute(statement.encode())
    except (
        psycopg.errors.InsufficientPrivilege,
        psycopg.errors.WrongObjectType,
        psycopg.errors.ObjectNotInPrerequisiteState,  # a plain view, whoever asks
    ):
        return False
    return True


def test_a_view_of_ones_own_is_refreshed_once_it_is_registered(connection: psycopg.Connection) -> None:
    connection.execute('create materialized view public."My view" as select 1 as n')
    connection.execute('create unique index on public."My view" (n)')
    connection.execute("insert into ops.views values ('My view', now(), 0)")
    row: Any = connection.execute("select public.refresh_materialized_view('My view')").fetchone()
    assert row[0]["view"] == "My view"
