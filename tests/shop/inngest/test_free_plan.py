"""What a shop costs by Inngest's own counting: a run or a step is an execution, 50,000 a month are free.

The table in docs/deploy.md is what is counted here.
"""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Final

import psycopg
import pytest

from penstock import event_store, views
from penstock.event_store import ANY_VERSION, NewEvent
from penstock.inngest import client
from penstock.inngest.relay import relay
from penstock.relay.event_names import APPENDED
from penstock.settings import Settings
from tests.shop.inngest.simulated_day import DAY, MINUTES_A_DAY, SimulatedInngest, started_by
from tests.shop.registry import MATERIALIZED

AT_REST_AT_MOST: Final = 5_000
IN_ALL_AT_MOST: Final = 25_000
DAYS: Final = 31
"""The longest month."""
ORDERS: Final = 100
LIFE: Final = ("OrderPlaced", "PaymentReceived", "OrderShipped", "OrderDelivered", "OrderCompleted")
PAGE: Final = Path(__file__).parents[3] / "docs" / "deploy.md"


@pytest.fixture
def simulated(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> SimulatedInngest:
    simulated = SimulatedInngest(settings)
    monkeypatch.setattr(relay, "send", simulated.send)
    return simulated


def append(connection: psycopg.Connection, order: int, event_type: str, at: datetime) -> None:
    """What a request does: append, and have the relay publish it."""
    metadata = {"occurred_at": at.isoformat()}
    payload: dict[str, object] = {}
    if event_type == "OrderPlaced":
        item = {"product_id": f"p{order % 7}", "name": "HOLDER", "category": None, "quantity": 1, "unit_price": "2.550"}
        payload = {"order_id": f"o{order}", "customer_id": f"c{order % 9}", "currency": "GBP", "country": None}
        payload |= {"placed_at": at.isoformat(), "items": [item], "total": "2.550"}
    event_store.append(connection, "order", f"o{order}", ANY_VERSION, [NewEvent(event_type, payload, metadata)])
    relay.once()


def day_of_orders(connection: psycopg.Connection, orders: int) -> list[tuple[datetime, Callable[[], None]]]:
    """The life of each order, one event after the other, evenly over the day: nothing comes together by chance."""
    apart = timedelta(minutes=MINUTES_A_DAY) / max(1, orders * len(LIFE))
    numbers = count()
    found = []
    for order in range(orders):
        for event_type in LIFE:
            at = DAY + (next(numbers) + 0.5) * apart
            found.append((at, lambda order=order, of=event_type, at=at: append(connection, order, of, at)))
    return found


def before_the_day(connection: psycopg.Connection, simulated: SimulatedInngest) -> None:
    """The shop has an order, and everything has been done; the views were refreshed more than a day ago."""
    append(connection, 1_000_000, "OrderPlaced", DAY - timedelta(days=2))
    simulated.work()
    simulated.count_changes()
    for name in MATERIALIZED:
        views.refresh_view(connection, name)
    connection.execute("update ops.views set refreshed_at = refreshed_at - interval '25 hours'")
    simulated.executions.clear()


def counted(connection: psycopg.Connection, simulated: SimulatedInngest, orders: int) -> Counter[str]:
    """Executions of each function in a month of such days."""
    before_the_day(connection, simulated)
    simulated.day(day_of_orders(connection, orders))
    return Counter({name: DAYS * executions for name, executions in simulated.executions.items()})


def column(month: Counter[str]) -> dict[str, str]:
    numbers = {function.local_id: f"{month[function.local_id]:,}" for function in client.registered}
    return {**numbers, "in all": f"**{month.total():,}**"}


def shown(cell: int) -> dict[str, str]:
    """A column of the page's table, by the function's name."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return {row[0].strip("`"): row[cell] for row in rows if len(row) == 4 and row[0] != "function"}


def test_the_page_says_what_starts_each_function() -> None:
    started = {function.local_id: sorted(started_by(function)) for function in client.registered}
    listed = {name: ", ".join(f"`{each}`" for each in found) for name, found in started.items()}
    assert shown(1) == {**listed, "in all": "everything"}


def test_at_rest_it_costs_a_tenth_of_the_free_plan(connection: psycopg.Connection, simulated: SimulatedInngest) -> None:
    month = counted(connection, simulated, 0)
    assert month.total() <= AT_REST_AT_MOST
    assert month["sweep"] == DAYS * 96
    assert month["refresh-views"] == DAYS
    assert shown(2) == column(month)


def test_a_hundred_orders_a_day_cost_half_of_the_free_plan(
    connection: psycopg.Connection, simulated: SimulatedInngest
) -> None:
    month = counted(connection, simulated, ORDERS)
    assert month.total() <= IN_ALL_AT_MOST
    assert month["advance-projections"] == DAYS * ORDERS * len(LIFE)
    assert shown(3) == column(month)
    states = connection.execute("select status, count(*) from shop.orders group by 1 order by 1").fetchall()
    assert states == [("completed", ORDERS), ("placed", 1)]
    # the last order was completed after the last sweep of the day
    assert connection.execute("select sum(order_count) from public.monthly_revenue").fetchone() == (ORDERS - 1,)


def test_with_every_notification_lost_the_sweep_brings_all_of_it(
    connection: psycopg.Connection, settings: Settings, simulated: SimulatedInngest
) -> None:
    """Lost is what requests have published; what a sweep sends itself arrives."""
    simulated.loses = lambda event: "from" in event.data and event.name != APPENDED
    simulated.day(day_of_orders(connection, 5))
    statuses = connection.execute("select count(*) filter (where status = 'completed'), count(*) from shop.orders")
    assert statuses.fetchone() == (5, 5)
    for table in ("customers", "products"):
        assert connection.execute(f"select count(*) from shop.{table}".encode()).fetchone() == (5,)
