"""Whatever changes a day marks it due, in the same transaction; the next run computes it, and no mark gets lost.

Over 400 lines because all ways of changing a day share one history.
"""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock import views
from penstock.postgres.pool import close_pools, connect
from penstock.projections import advance, advance_all, rebuild
from penstock.settings import Settings
from shop import figures as etl
from shop.figures import daily
from tests.shop.figures.test_daily import figures, sell
from tests.shop.projections.store import put, rows

TODAY = date(2024, 6, 1)


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without overlap: what is due is due because it changed."""
    return Settings(database_url=settings.database_url, environment="local", currency="GBP", etl_overlap_days=0)


def due(connection: psycopg.Connection) -> list[str]:
    return [day for (day,) in connection.execute("select distinct day::text from ops.due_days order by day").fetchall()]


def compute(settings: Settings, today: date = TODAY) -> int:
    return sum(portion["days"] for portion in etl.run_due(settings, today))


def extract_due(settings: Settings) -> etl.Portion:
    """The first batch of what is due."""
    return etl.extract(settings, etl.find_due(settings, TODAY)[0])


def project(settings: Settings, connection: psycopg.Connection) -> list[str]:
    advance(settings, "orders")
    return due(connection)


def test_an_amended_order_marks_its_day_though_its_total_stays(
    settings: Settings, connection: psycopg.Connection
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", items=[], total="10.00")
    compute(settings)
    line = {"product_id": "p1", "category": "Food", "quantity": 1, "unit_price": "10.00"}
    put(
        connection, "order/a", "OrderAmended", {"currency": "GBP", "placed_at": "2024-03-01T10:00:00Z", "items": [line]}
    )
    assert project(settings, connection) == ["2024-03-01"]
    compute(settings)
    assert [row for row in figures(connection, "top_categories") if row[1]] == [
        ("2024-03-01", [{"category": "Food", "revenue": "10.00", "units": 1}])
    ]


def test_an_order_that_is_voided_leaves_the_figures_of_its_day(
    settings: Settings, connection: psycopg.Connection
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", customer_id="c1")
    sell(connection, "b", "2024-03-02T10:00:00Z", customer_id="c1")
    compute(settings)
    put(connection, "order/a", "OrderVoided", {})
    assert project(settings, connection) == ["2024-03-01", "2024-03-02"]
    compute(settings)
    assert figures(connection, "placed_count", "order_count", "first_time_buyers")[:2] == [
        ("2024-03-01", 0, 0, 0),
        ("2024-03-02", 1, 1, 1),
    ]
    assert rows(connection, "order_items") != []
    assert {row[0] for row in rows(connection, "order_items")} == {"b"}


def test_an_order_completed_long_after_reaches_its_day(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", completed=False)
    compute(settings)
    assert due(connection) == []
    put(connection, "order/a", "OrderCompleted", {})
    assert project(settings, connection) == ["2024-03-01"]
    assert compute(settings) == 2
    assert due(connection) == []
    assert figures(connection, "order_count", "total_revenue")[0] == ("2024-03-01", 1, Decimal("10.00"))


def test_a_second_file_for_the_same_day_reaches_it(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z")
    compute(settings)
    sell(connection, "b", "2024-03-01T11:00:00Z")
    compute(settings)
    assert figures(connection, "order_count")[0] == ("2024-03-01", 2)


@pytest.mark.parametrize("event_type", ["PaymentReceived", "OrderShipped", "OrderDelivered"])
def test_a_step_that_changes_no_figure_marks_nothing(
    settings: Settings, connection: psycopg.Connection, event_type: str
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", completed=False)
    compute(settings)
    put(connection, "order/a", event_type, {})
    assert project(settings, connection) == []


def test_a_cancelled_first_order_makes_the_next_one_the_first(
    settings: Settings, connection: psycopg.Connection
) -> None:
    for order_id, day in (("a", "2024-03-01"), ("b", "2024-03-05"), ("c", "2024-03-09")):
        sell(connection, order_id, f"{day}T10:00:00Z", customer_id="c1")
    compute(settings)
    put(connection, "order/a", "OrderCancelled", {})
    assert project(settings, connection)[:2] == ["2024-03-01", "2024-03-05"]
    compute(settings)
    newcomers = {day: number for day, number in figures(connection, "first_time_buyers") if number}
    assert newcomers == {"2024-03-05": 1}


@pytest.mark.parametrize("other", ["2024-03-02", "2024-03-09"])
def test_earlier_first_orders_take_the_newcomer_from_a_later_day(
    settings: Settings, connection: psycopg.Connection, other: str
) -> None:
    """Two at once, before and after the order that was the first: it is found behind or between them."""
    sell(connection, "b", "2024-03-05T10:00:00Z", customer_id="c1")
    compute(settings)
    sell(connection, "a", "2024-03-01T10:00:00Z", customer_id="c1")
    sell(connection, "c", f"{other}T10:00:00Z", customer_id="c1")
    assert project(settings, connection) == sorted(["2024-03-01", "2024-03-05", other])
    compute(settings)
    assert [row for row in figures(connection, "first_time_buyers") if row[1]] == [("2024-03-01", 1)]


def test_an_order_after_the_first_marks_its_own_day_alone(settings: Settings, connection: psycopg.Connection) -> None:
    for order_id, day in (("a", "2024-03-01"), ("c", "2024-03-09")):
        sell(connection, order_id, f"{day}T10:00:00Z", customer_id="c1")
    compute(settings)
    sell(connection, "b", "2024-03-05T10:00:00Z", customer_id="c1")
    assert project(settings, connection) == ["2024-03-05"]


def test_days_are_marked_where_the_business_is(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute("update penstock.configuration set timezone = 'Asia/Kolkata'")
    sell(connection, "a", "2024-03-01T18:29:59Z")
    assert project(settings, connection) == ["2024-03-01"]
    sell(connection, "b", "2024-03-01T18:30:00Z")
    assert project(settings, connection) == ["2024-03-01", "2024-03-02"]


def test_another_zone_makes_every_computed_day_due(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-05-30T23:30:00Z")
    compute(settings)
    connection.execute("update penstock.configuration set timezone = 'UTC'")
    assert due(connection) == []
    connection.execute("update penstock.configuration set timezone = 'Europe/Paris'")
    assert due(connection) == ["2024-05-30", "2024-05-31"]
    compute(settings)
    assert figures(connection, "order_count") == [("2024-05-30", 0), ("2024-05-31", 1)]


def test_a_rebuild_marks_the_days_of_what_was_wrong_and_no_others(
    settings: Settings, connection: psycopg.Connection
) -> None:
    for day in range(1, 6):
        sell(connection, f"o{day}", f"2024-03-0{day}T10:00:00Z")
    compute(settings)
    connection.execute("alter table orders disable trigger user; alter table order_items disable trigger user")
    connection.execute("update shop.orders set total = 1 where order_id = 'o1'")
    connection.execute("delete from orders where order_id = 'o2'")
    connection.execute("update order_items set category = 'Wrong' where order_id = 'o3'")
    connection.execute("delete from order_items where order_id = 'o4'")
    connection.execute("alter table orders enable trigger user; alter table order_items enable trigger user")
    rebuild(settings, "orders")
    assert due(connection) == [f"2024-03-0{day}" for day in range(1, 5)]
    compute(settings)
    rebuild(settings, "orders")
    assert due(connection) == []


def test_changes_by_hand_mark_their_days(settings: Settings, connection: psycopg.Connection) -> None:
    for day in range(1, 4):
        sell(connection, f"o{day}", f"2024-03-0{day}T10:00:00Z")
    compute(settings)
    connection.execute("delete from orders where order_id = 'o1'")
    connection.execute("update order_items set category = 'Food' where order_id = 'o2'")
    connection.execute("delete from order_items where order_id = 'o3'")
    assert due(connection) == ["2024-03-01", "2024-03-02", "2024-03-03"]
    compute(settings)
    assert figures(connection, "placed_count")[0] == ("2024-03-01", 0)


def test_marks_of_a_transaction_that_is_rolled_back_are_none(connection: psycopg.Connection) -> None:
    with connection.transaction(force_rollback=True):
        connection.execute("select shop.mark_due_days('orders', array['2024-03-01'::timestamptz])")
        assert due(connection) == ["2024-03-01"]
    assert due(connection) == []


def test_a_day_that_is_not_over_waits_for_its_end(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-06-01T10:00:00Z")
    compute(settings)
    assert due(connection) == ["2024-06-01"]
    compute(settings, date(2024, 6, 2))
    assert due(connection) == []
    assert figures(connection, "order_count")[-1] == ("2024-06-01", 1)


@pytest.mark.parametrize("step", ["extract", "transform"])
def test_a_change_while_a_run_computes_its_day_is_computed_by_the_next(
    settings: Settings, connection: psycopg.Connection, step: str
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", customer_id="c1")
    project(settings, connection)
    batch = extract_due(settings)["batch_id"]
    if step == "transform":
        etl.transform(settings, batch)
    sell(connection, "b", "2024-03-01T11:00:00Z", customer_id="c2")
    project(settings, connection)
    etl.transform(settings, batch)
    etl.load(settings, batch)
    assert figures(connection, "order_count")[0] == ("2024-03-01", 1)
    assert due(connection) == ["2024-03-01"]
    compute(settings)
    assert figures(connection, "order_count", "first_time_buyers")[0] == ("2024-03-01", 2, 2)


def test_a_change_that_commits_after_the_extract_is_not_lost(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """Its mark exists before the run reads, and nobody but its own transaction can see it."""
    sell(connection, "a", "2024-03-01T10:00:00Z")
    compute(settings)
    with connect(settings.database_url) as slow:
        with slow.transaction():
            slow.execute("update shop.orders set total = 7 where order_id = 'a'")
            etl.run_range(settings, date(2024, 3, 1), date(2024, 3, 1))
        assert due(connection) == ["2024-03-01"]
    compute(settings)
    assert figures(connection, "total_revenue")[0] == ("2024-03-01", Decimal(7))


def test_a_run_waits_for_no_mark_that_somebody_holds(settings: Settings, connection: psycopg.Connection) -> None:
    """Who holds a mark may want another one that the run has taken away: waiting would be a deadlock."""
    for day in (1, 2):
        sell(connection, f"o{day}", f"2024-03-0{day}T10:00:00Z")
    project(settings, connection)
    batch = extract_due(settings)["batch_id"]
    etl.transform(settings, batch)
    with connect(settings.database_url) as slow, slow.transaction():
        slow.execute("update shop.orders set total = 7 where order_id = 'o2'")
        connection.execute("set lock_timeout = '20s'")
        connection.execute("select shop.load_daily(%s::uuid)", (batch,))
        assert due(connection) == ["2024-03-02"]
        slow.execute("update shop.orders set total = 7 where order_id = 'o1'")
    assert due(connection) == ["2024-03-01", "2024-03-02"]


def test_an_order_of_1900_is_computed_in_portions_and_yesterday_first(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily, "PORTION", 20_000)
    sell(connection, "a", "1900-01-01T10:00:00Z")
    first = next(etl.run_due(settings, TODAY))
    assert (first["days"], first["to_day"]) == (20_000, date(2024, 5, 31))
    portions = list(etl.run_due(settings, TODAY))
    assert [portion["days"] for portion in portions] == [20_000, 5_443]
    assert portions[1]["from_day"] == date(1900, 1, 1)
    found = connection.execute("select count(*), sum(order_count) from daily_analytics").fetchone()
    assert found == ((TODAY - date(1900, 1, 1)).days, 1)
    assert compute(settings) == 1


def test_portions_are_as_many_as_it_takes_and_none_is_left(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    sell(connection, "a", "2024-05-22T10:00:00Z")
    for portion, expected in ((10, [10]), (9, [9, 1]), (4, [4, 4, 2])):
        monkeypatch.setattr(daily, "PORTION", portion)
        connection.execute("truncate daily_analytics")
        found = list(etl.run_due(settings, TODAY))
        assert [portion["days"] for portion in found] == expected
    assert len(figures(connection)) == 10


def test_only_what_is_marked_can_be_asked_for(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z")
    assert [portion["days"] for portion in etl.run_due(settings, TODAY, marked_only=True)] == [1]
    assert [portion["days"] for portion in etl.run_due(settings, TODAY, marked_only=True)] == [0]
    assert figures(connection, "order_count") == [("2024-03-01", 1)]


def test_days_far_apart_are_a_portion_without_those_between(settings: Settings, connection: psycopg.Connection) -> None:
    for day in (1, 15):
        sell(connection, f"o{day}", f"2024-03-{day:02}T10:00:00Z", completed=False)
    compute(settings)
    for day in (1, 15):
        put(connection, f"order/o{day}", "OrderCompleted", {})
    portion = extract_due(settings)
    assert (portion["days"], portion["orders"]) == (3, 2)
    query = "select day::text from staging.daily_days where batch_id = %s order by day"
    days = connection.execute(query, (portion["batch_id"],)).fetchall()
    assert days == [("2024-03-01",), ("2024-03-15",), ("2024-05-31",)]


CUSTOMERS = (None, "c1", "c2", "c3")
PRODUCTS = (("p1", "Food"), ("p2", "Gifts"), ("p3", None))  # a category is taken when a day is computed: none changes
STEPS = ("PaymentReceived", "OrderCompleted", "OrderCompleted", "OrderCancelled")


def happen(chance: random.Random, connection: psycopg.Connection, number: int) -> None:
    """One thing that may happen in a shop: mostly an order or a step of one, of any age."""
    if chance.random() < 0.5:
        placed_at = (
            f"2024-{chance.randint(3, 5):02}-{chance.randint(1, 28):02}T{chance.choice(('00', '12', '23'))}:59:00Z"
        )
        items = [(*chance.choice(PRODUCTS), chance.randint(1, 3), f"{chance.randint(1, 9)}.50")]
        completed, customer = chance.random() < 0.5, chance.choice(CUSTOMERS)
        sell(connection, f"o{number}", placed_at, completed=completed, customer_id=customer, items=items)
    else:
        put(connection, f"order/o{chance.randrange(number + 1)}", chance.choice(STEPS), {})


@pytest.mark.parametrize("seed", range(6))
def test_days_equal_months_and_a_computation_of_all_days_after_random_histories(
    settings: Settings, connection: psycopg.Connection, seed: int
) -> None:
    chance = random.Random(seed)
    connection.execute("update penstock.configuration set timezone = %s", (chance.choice(("UTC", "America/New_York")),))
    actions: list[Any] = [
        lambda: project(settings, connection),
        lambda: advance_all(settings),
        lambda: rebuild(settings, "orders"),
        lambda: compute(settings),
        lambda: etl.run_range(settings, date(2024, 3, 10), date(2024, 4, 20)),
    ]
    half: str | None = None
    for number in range(60):
        happen(chance, connection, number)
        if chance.random() < 0.3:
            chance.choice(actions)()
        if chance.random() < 0.1:  # a run that other things happen inside of
            if half:
                finish(settings, half)
            half = extract_due(settings)["batch_id"]
    if half:
        finish(settings, half)
    compute(settings)
    columns = ("order_count", "total_revenue", "first_time_buyers", "completion_rate", "placed_count", "top_categories")
    kept = figures(connection, *columns)
    assert due(connection) == []
    compare_with_months(connection)
    connection.execute("truncate daily_analytics")
    compute(settings)
    assert [day for day in kept if day[5]] == [day for day in figures(connection, *columns) if day[5]]


def finish(settings: Settings, batch_id: str) -> None:
    etl.transform(settings, batch_id)
    etl.load(settings, batch_id)


def compare_with_months(connection: psycopg.Connection) -> None:
    views.refresh_view(connection, "monthly_revenue")
    months = "select month::text, order_count::bigint, revenue from monthly_revenue order by 1"
    days = (
        "select date_trunc('month', day)::date::text, sum(order_count)::bigint, sum(total_revenue) from daily_analytics"
        " group by 1 having sum(order_count) > 0 order by 1"
    )
    assert connection.execute(days).fetchall() == connection.execute(months).fetchall()


def test_runs_and_writers_at_once_leave_nothing_behind(settings: Settings, connection: psycopg.Connection) -> None:
    """Two runs over and over while orders are placed, completed and cancelled; a last one computes what they left."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            compute(settings)

    with ThreadPoolExecutor(2) as threads:
        runs = [threads.submit(run) for _ in range(2)]
        chance = random.Random(1)
        for number in range(150):
            happen(chance, connection, number)
            if number % 3 == 0:
                advance(settings, "orders")
        over.set()
    assert [run.exception() for run in runs] == [None, None]
    compute(settings)
    assert due(connection) == []
    compare_with_months(connection)
    kept = figures(connection)
    connection.execute("truncate daily_analytics")
    compute(settings)
    assert figures(connection) == kept
