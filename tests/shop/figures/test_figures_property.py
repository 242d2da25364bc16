"""Whatever happens in a shop, in whatever order it is projected and computed: the figures are those of the read models.

What is expected is computed in Python from the rows of the read models (`expectations.py`). Runs of the daily ETL are
cut in two, so that things happen inside of them; facts are of any age; the zone may change.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from penstock import views
from penstock.projections import advance, advance_all, rebuild
from penstock.settings import Settings
from shop import figures
from tests.shop.figures.expectations import (
    compare_cohorts,
    compare_days,
    compare_months,
    compare_products,
    counted_refunds,
    expect_days,
    read_days,
)
from tests.shop.projections.store import TABLES, put, store
from tests.shop.registry import MATERIALIZED

Shop = tuple[Settings, psycopg.Connection]

# clocks change in New York on the 10th, in Paris on the 31st of March
FIRST_MOMENT = datetime(2024, 3, 6, tzinfo=UTC)
TODAY = date(2024, 4, 8)
ZONES = ("UTC", "America/New_York", "Europe/Paris", "Asia/Kolkata", "Pacific/Auckland")
CURRENCIES = ("EUR", "JPY", None)
# a product's category is taken when a day is computed: none changes
CATEGORIES = {"p1": "Food", "p2": "Gifts", "p3": None}
MOMENTS = st.integers(0, 30 * 24 * 2).map(
    lambda half: f"{FIRST_MOMENT + timedelta(minutes=30 * half):%Y-%m-%dT%H:%M:%SZ}"
)
ORDERS = st.sampled_from([f"o{number}" for number in range(5)])
CUSTOMERS = st.sampled_from([None, "c1", "c2", "c3"])
PARTS = st.sampled_from(["0", "0.5", "1.25"])


@st.composite
def lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    products = draw(st.lists(st.sampled_from(list(CATEGORIES)), min_size=1, max_size=3))
    return [
        {
            "product_id": product,
            "category": CATEGORIES[product],
            "quantity": draw(st.integers(0, 3)),
            "unit_price": draw(st.sampled_from(["0", "2.50", "9"])),
            "discount": draw(PARTS),
            "tax": draw(PARTS),
        }
        for product in products
    ]


PLACED = st.fixed_dictionaries(
    {"customer_id": CUSTOMERS, "currency": st.sampled_from(CURRENCIES), "placed_at": MOMENTS, "items": lines()},
    optional={"discount": st.just("4"), "shipping": PARTS, "tax": st.just("6"), "tax_included": st.booleans()},
)
REFUND_LINES = st.lists(
    st.fixed_dictionaries(
        {"product_id": st.sampled_from(list(CATEGORIES)), "quantity": st.integers(0, 2), "amount": PARTS}
    ),
    max_size=2,
)
REFUNDED = st.fixed_dictionaries(
    {
        "refund_id": st.sampled_from(["r1", "r2"]),
        "refunded_at": MOMENTS,
        "currency": st.sampled_from(CURRENCIES),
        "amount": st.sampled_from(["3", "7.75"]),
        "items": REFUND_LINES,
    },
    optional={"tax": PARTS, "shipping": PARTS},
)
ISSUED = st.fixed_dictionaries(
    {"issued_at": MOMENTS, "currency": st.sampled_from(CURRENCIES), "total": st.just("5"), "customer_id": CUSTOMERS}
)
REGISTERED = st.fixed_dictionaries({"registered_at": MOMENTS})
NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})


def happening(
    stream: st.SearchStrategy[str], event_type: str, payload: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.tuples(st.just("put"), stream, st.just(event_type), payload)


ORDER = ORDERS.map("order/{}".format)
NOTE = st.sampled_from(["credit_note/n1", "credit_note/n2"])
CUSTOMER = st.sampled_from(["customer/c1", "customer/c2", "customer/c4"])
EVENTS = st.one_of(
    *[happening(ORDER, "OrderPlaced", PLACED)] * 4,
    *[happening(ORDER, "OrderCompleted", NOTHING)] * 3,
    *[happening(ORDER, "OrderRefunded", REFUNDED)] * 2,
    happening(ORDER, "OrderAmended", PLACED),
    happening(ORDER, "OrderCancelled", NOTHING),
    happening(ORDER, "OrderVoided", NOTHING),
    happening(ORDER, "PaymentReceived", NOTHING),
    happening(NOTE, "CreditNoteIssued", ISSUED),
    happening(NOTE, "CreditNoteVoided", NOTHING),
    happening(CUSTOMER, "CustomerRegistered", REGISTERED),
    happening(CUSTOMER, "CustomerRemoved", NOTHING),
)
READ_MODELS = ("orders", "refunds", "customers")
ACTIONS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from(READ_MODELS)),
    st.tuples(st.just("rebuild"), st.sampled_from(READ_MODELS)),
    st.tuples(st.just("compute")),
    st.tuples(st.just("begin")),
    st.tuples(st.just("end")),
    st.tuples(st.just("zone"), st.sampled_from(ZONES)),
)
HISTORIES = st.lists(st.one_of(EVENTS, EVENTS, EVENTS, ACTIONS), min_size=40, max_size=90)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with store() as (settings, connection):
        # each example begins with an empty store, which only here is a thing that may happen
        connection.execute("alter table public.event_store disable trigger all")
        yield Settings(database_url=settings.database_url, environment="local", etl_overlap_days=0), connection


@given(zone=st.sampled_from(ZONES), history=HISTORIES)
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_figures_are_those_of_the_read_models_after_any_history(shop: Shop, zone: str, history: list[Any]) -> None:
    settings, connection = shop
    empty(connection, zone)
    begun: list[str] = []
    for what, *arguments in history:
        if what == "put":
            put(connection, *arguments)
        elif what == "zone":
            connection.execute("update penstock.configuration set timezone = %s", arguments)
        else:
            act(settings, what, arguments, begun)
    for batch_id in begun:
        finish(settings, batch_id)
    assert all(advanced.caught_up for advanced in advance_all(settings).values())
    compute(settings)
    for name in MATERIALIZED:
        views.refresh_view(connection, name)
    assert connection.execute("select count(*) from ops.dead_letters").fetchone() == (0,)
    assert connection.execute("select count(*) from ops.due_days").fetchone() == (0,)
    expected = expect_days(connection)
    event(f"{len({currency for _, currency in expected})} currencies, refunds: {bool(counted_refunds(connection))}")
    compare_days(connection, expected)
    compare_months(connection)
    compare_products(connection)
    compare_cohorts(connection)
    kept = read_days(connection)
    connection.execute("truncate public.daily_analytics")
    figures.run_range(settings, FIRST_MOMENT.date() - timedelta(days=2), TODAY - timedelta(days=1))
    assert kept.items() <= read_days(connection).items()


def empty(connection: psycopg.Connection, zone: str) -> None:
    tables = [table for tables in TABLES.values() for table in tables]
    others = (
        "public.event_store",
        "penstock.streams",
        "ops.subscriptions",
        "ops.dead_letters",
        "public.daily_analytics",
    )
    connection.execute("alter table shop.inventory_history disable trigger all")
    connection.execute(f"truncate {', '.join([*tables, *others])}".encode())
    connection.execute("alter sequence public.event_store_position_seq restart")
    connection.execute("update penstock.configuration set timezone = %s", (zone,))
    connection.execute("truncate ops.due_days, staging.daily_batches cascade")


def act(settings: Settings, what: str, arguments: list[str], begun: list[str]) -> None:
    match what:
        case "advance":
            advance(settings, *arguments)
        case "rebuild":
            rebuild(settings, *arguments)
        case "compute":
            compute(settings)
        case "begin":
            begun.append(figures.extract(settings, figures.find_due(settings, TODAY)[0])["batch_id"])
        case "end" if begun:
            finish(settings, begun.pop())


def compute(settings: Settings) -> None:
    for _ in figures.run_due(settings, TODAY):
        pass


def finish(settings: Settings, batch_id: str) -> None:
    figures.transform(settings, batch_id)
    figures.load(settings, batch_id)
