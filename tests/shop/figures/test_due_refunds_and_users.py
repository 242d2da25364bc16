"""Money given back and registrations reach their days, whichever projection comes first, and no mark gets lost."""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import psycopg
import pytest

from penstock.postgres.pool import close_pools, connect
from penstock.projections import Advanced, advance, advance_all, rebuild
from penstock.settings import Settings
from shop import figures as etl
from shop.figures import daily
from tests.shop.figures.test_daily import figures, sell
from tests.shop.figures.test_due_days import TODAY, compute, due
from tests.shop.projections.store import put


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without overlap: what is due is due because it changed."""
    return Settings(database_url=settings.database_url, environment="local", etl_overlap_days=0)


def give_back(connection: psycopg.Connection, order_id: str, at: str, amount: str = "4", **parts: Any) -> None:
    payload = {"refund_id": "r1", "refunded_at": at, "amount": amount, "currency": "GBP", **parts}
    put(connection, f"order/{order_id}", "OrderRefunded", payload)


def register(connection: psycopg.Connection, customer_id: str, at: str) -> None:
    put(connection, f"customer/{customer_id}", "CustomerRegistered", {"registered_at": at})


def marked(settings: Settings, connection: psycopg.Connection, *names: str) -> list[str]:
    for name in names:
        advance(settings, name)
    return due(connection)


def nonzero(connection: psycopg.Connection, column: str) -> dict[str, Any]:
    return {day: value for day, value in figures(connection, column) if value}


def test_a_refund_of_an_old_order_counts_on_its_own_day(settings: Settings, connection: psycopg.Connection) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z")
    compute(settings)
    give_back(connection, "a", "2024-03-20T10:00:00Z", tax="1", shipping="0.5")
    assert marked(settings, connection, "refunds") == ["2024-03-20"]
    compute(settings)
    assert due(connection) == []
    assert nonzero(connection, "refunds") == {"2024-03-20": 4}
    assert nonzero(connection, "net_sales") == {"2024-03-01": 10, "2024-03-20": -2.5}


def test_a_refund_that_is_replaced_or_voided_marks_where_it_was(
    settings: Settings, connection: psycopg.Connection
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z")
    give_back(connection, "a", "2024-03-20T10:00:00Z")
    compute(settings)
    give_back(connection, "a", "2024-03-10T10:00:00Z", "5")
    assert marked(settings, connection, "refunds") == ["2024-03-10", "2024-03-20"]
    compute(settings)
    assert nonzero(connection, "refunds") == {"2024-03-10": 5}
    put(connection, "order/a", "OrderVoided", {})
    assert marked(settings, connection, "refunds") == ["2024-03-10"]
    compute(settings)
    assert nonzero(connection, "refunds") == {}


@pytest.mark.parametrize("first", ["orders", "refunds"])
def test_an_order_that_is_completed_after_its_refund_brings_it_in(
    settings: Settings, connection: psycopg.Connection, first: str
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z", completed=False)
    give_back(connection, "a", "2024-03-20T10:00:00Z")
    compute(settings)
    assert nonzero(connection, "refunds") == {}
    put(connection, "order/a", "OrderCompleted", {})
    assert marked(settings, connection, first, "orders", "refunds") == ["2024-03-01", "2024-03-20"]
    compute(settings)
    assert nonzero(connection, "refunds") == {"2024-03-20": 4}
    put(connection, "order/a", "OrderCancelled", {})
    assert marked(settings, connection, "orders") == ["2024-03-01", "2024-03-20"]
    compute(settings)
    assert nonzero(connection, "refunds") == {}


@pytest.mark.parametrize("first", ["orders", "refunds"])
def test_an_order_and_its_refund_that_come_together_are_counted_whoever_is_first(
    settings: Settings, connection: psycopg.Connection, first: str
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z")
    give_back(connection, "a", "2024-03-20T10:00:00Z")
    assert "2024-03-20" in marked(settings, connection, first, "orders", "refunds")
    compute(settings)
    assert nonzero(connection, "refunds") == {"2024-03-20": 4}


@pytest.mark.parametrize("column", ["currency", "discount", "shipping", "tax"])
def test_amounts_changed_by_hand_or_put_right_by_a_rebuild_mark_the_day(
    settings: Settings, connection: psycopg.Connection, column: str
) -> None:
    sell(connection, "a", "2024-03-01T10:00:00Z")
    compute(settings)
    value = "'USD'" if column == "currency" else "1"
    connection.execute(f"update shop.orders set {column} = {value}".encode())
    assert due(connection) == ["2024-03-01"]
    compute(settings)
    rebuild(settings, "orders")
    assert due(connection) == ["2024-03-01"]


def test_a_rebuild_of_refunds_or_customers_marks_what_was_wrong_and_no_other_day(
    settings: Settings, connection: psycopg.Connection
) -> None:
    for day in (1, 2):
        sell(connection, f"o{day}", f"2024-03-0{day}T10:00:00Z")
        give_back(connection, f"o{day}", f"2024-03-1{day}T10:00:00Z")
        register(connection, f"c{day}", f"2024-03-2{day}T10:00:00Z")
    compute(settings)
    connection.execute("alter table refunds disable trigger user; alter table customers disable trigger user")
    connection.execute("update refunds set tax = 1 where aggregate_id = 'o1'")
    connection.execute("update customers set registered_at = null where customer_id = 'c1'")
    connection.execute("alter table refunds enable trigger user; alter table customers enable trigger user")
    rebuild(settings, "refunds")
    rebuild(settings, "customers")
    assert due(connection) == ["2024-03-11", "2024-03-21"]
    compute(settings)
    for name in ("refunds", "customers"):
        rebuild(settings, name)
    assert due(connection) == []


def test_a_customer_registered_on_a_past_day_is_new_on_that_day(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """Known from an order alone until then: the day of that order loses the customer."""
    sell(connection, "a", "2024-03-10T10:00:00Z", customer_id="c1")
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-10": 1}
    register(connection, "c1", "2024-03-05T10:00:00Z")
    assert marked(settings, connection, "customers") == ["2024-03-05", "2024-03-10"]
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-05": 1}
    assert nonzero(connection, "first_time_buyers") == {"2024-03-10": 1}
    register(connection, "c1", "2024-03-03T10:00:00Z")  # the earliest registration counts
    assert marked(settings, connection, "customers") == ["2024-03-03", "2024-03-05", "2024-03-10"]
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-03": 1}
    put(connection, "customer/c1", "CustomerRemoved", {})
    assert marked(settings, connection, "customers") == ["2024-03-03", "2024-03-10"]
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-10": 1}


def test_another_description_of_a_customer_marks_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    register(connection, "c1", "2024-03-05T10:00:00Z")
    compute(settings)
    register(connection, "c1", "2024-03-07T10:00:00Z")
    assert marked(settings, connection, "customers") == []


def test_a_first_order_counts_whatever_became_of_it_unless_it_was_never_placed(
    settings: Settings, connection: psycopg.Connection
) -> None:
    for order_id, day in (("a", "01"), ("b", "05"), ("c", "09")):
        sell(connection, order_id, f"2024-03-{day}T10:00:00Z", customer_id="c1", completed=order_id == "c")
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-01": 1}
    assert nonzero(connection, "first_time_buyers") == {"2024-03-09": 1}
    put(connection, "order/a", "OrderVoided", {})
    assert marked(settings, connection, "orders")[:2] == ["2024-03-01", "2024-03-05"]
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-05": 1}
    sell(connection, "d", "2024-03-02T10:00:00Z", customer_id="c1", completed=False)
    assert marked(settings, connection, "orders") == ["2024-03-02", "2024-03-05"]
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-02": 1}
    put(connection, "order/d", "OrderAmended", {"placed_at": "2024-03-02T10:00:00Z", "customer_id": "c2"})
    assert marked(settings, connection, "orders")[:2] == ["2024-03-02", "2024-03-05"]
    compute(settings)
    assert nonzero(connection, "new_users") == {"2024-03-02": 1, "2024-03-05": 1}


def test_projections_at_once_wait_for_no_mark_of_each_other(settings: Settings, connection: psycopg.Connection) -> None:
    """A deadlock otherwise: each holds the mark of one day and wants the other's."""
    mark = "select shop.mark_due_days(%s, array[%s::timestamptz])"
    with (
        connect(settings.database_url) as first,
        connect(settings.database_url) as second,
        first.transaction(),
        second.transaction(),
    ):
        second.execute("set local lock_timeout = '5s'")
        first.execute(mark, ("orders", "2024-03-01Z"))
        second.execute(mark, ("customers", "2024-03-02Z"))
        second.execute(mark, ("customers", "2024-03-01Z"))
        first.execute(mark, ("orders", "2024-03-02Z"))
    assert due(connection) == ["2024-03-01", "2024-03-02"]


def test_what_comes_between_the_marks_and_the_look_stays_marked(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refund is there and its order's completion is not yet: the run must not take the mark and count neither.

    The completion looks for refunds before the refund is committed, and commits after the run has read. Marks are taken
    before the projections are brought up to date, so the refund's is not among them.
    """
    sell(connection, "a", "2024-03-01T10:00:00Z", completed=False)
    compute(settings)
    advance_all(settings)
    meanwhile: list[Callable[[], None]] = []

    def advance_and_go_on(settings: Settings, name: str, *, seconds: float) -> Advanced:
        advanced = advance(settings, name, seconds=seconds)
        while meanwhile and name == daily._SOURCES[-1]:
            meanwhile.pop()()
        return advanced

    monkeypatch.setattr(daily, "advance", advance_and_go_on)
    with connect(settings.database_url) as slow, slow.transaction():

        def cross() -> None:
            slow.execute("update shop.orders set status = 'completed' where order_id = 'a'")
            connection.execute(
                "insert into shop.refunds (aggregate_type, aggregate_id, refund_id, order_id, currency, amount,"
                " refunded_at, position) values ('order', 'a', 'r', 'a', 'GBP', 4, '2024-03-20Z', 1)"
            )

        meanwhile.append(cross)
        etl.run_range(settings, date(2024, 3, 20), date(2024, 3, 20))
    assert due(connection) == ["2024-03-01", "2024-03-20"]
    compute(settings)
    assert nonzero(connection, "refunds") == {"2024-03-20": 4}
    assert due(connection) == []


def test_all_days_of_a_customer_file_are_computed_by_their_marks(
    settings: Settings, connection: psycopg.Connection
) -> None:
    for number in range(30):
        register(connection, f"c{number}", f"2024-04-{number % 10 + 1:02}T10:00:00Z")
    advance_all(settings)
    assert sum(portion["days"] for portion in etl.run_due(settings, TODAY, marked_only=True)) == 10
    assert set(nonzero(connection, "new_users").values()) == {3}
