"""Whatever is appended, in whatever pieces it is folded: a rebuild ends in the same rows and the same dead letters."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.event_store import NewEvent, append
from penstock.projections import advance, rebuild, rebuilding, runner
from penstock.settings import Settings
from tests.shop.projections.store import TABLES, letters, read_models, store

Shop = tuple[Settings, psycopg.Connection]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with store() as opened:
        # each example begins with an empty store, which only here is a thing that may happen
        opened[1].execute("alter table public.event_store disable trigger all")
        opened[1].execute("alter table shop.inventory_history disable trigger all")
        yield opened


NUMBERS = (
    -1,
    0,
    2.5,
    3.0,
    17850,
    2**31,
    -(2**63),
    "17850.0",
    "NaN",
    "Infinity",
    "1e400",
    "1e131000",
    "9" * 40,
    "1e-19",
)
MOMENTS = ("now", "2010-12-01", "2010-12-01T08:26:00+01:00", "2010-13-01T00:00:00Z", "1899-12-31", "2010-12-01 BC")
WEIRD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", True, [], {}, [1], {"a": 1}, "\u00e9\u2028", "a" * 300, *NUMBERS, *MOMENTS]
)
TIMES = st.sampled_from(["2010-12-01T08:26:00Z", "2010-12-01T08:59:59.999Z", "2011-01-01T00:00:00+01:00", "2010-12-03"])
IDS = st.sampled_from(["a", "b", "17850"])
COUNTRIES = st.sampled_from(["UK", "FR", ""])
MONEY = st.sampled_from(["2.550", "0", "10", 2.5, "-3.1", 4])


def mostly(good: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 39).flatmap(lambda number: WEIRD if number == 39 else good)


def document(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={name: mostly(values) for name, values in fields.items()})


ITEM = st.fixed_dictionaries(
    {"product_id": mostly(IDS), "quantity": mostly(st.integers(1, 9)), "unit_price": mostly(MONEY)},
    optional={
        "name": mostly(st.sampled_from(["Cake", "Lamp"])),
        "category": mostly(st.sampled_from(["Home", "Food"])),
        "discount": mostly(MONEY),
        "tax": mostly(MONEY),
        "restock": mostly(st.booleans()),
    },
)
REFUND_LINES = st.lists(
    st.fixed_dictionaries(
        {"product_id": mostly(IDS), "quantity": mostly(st.integers(0, 9)), "amount": mostly(MONEY)},
        optional={"restock": mostly(st.booleans())},
    ),
    max_size=2,
)
LINES = st.lists(ITEM, max_size=3)
CURRENCIES = st.sampled_from(["EUR", "GBP"])
PARTS = {"tax": st.sampled_from(["0", "1.5", 2]), "shipping": st.sampled_from(["0", "2.25"])}
PLACED = document(
    customer_id=IDS,
    total=MONEY,
    currency=CURRENCIES,
    discount=MONEY,
    **PARTS,
    tax_included=st.booleans(),
    shipping_address=COUNTRIES,
    placed_at=TIMES,
    country=COUNTRIES,
    items=LINES,
)
REFUNDED = document(refund_id=IDS, amount=MONEY, **PARTS, refunded_at=TIMES, currency=CURRENCIES, items=REFUND_LINES)
ISSUED = document(customer_id=IDS, total=MONEY, issued_at=TIMES, currency=CURRENCIES, items=LINES)
STEP = document(
    method=COUNTRIES, transaction_id=IDS, carrier=IDS, tracking=IDS, warehouse=COUNTRIES, signature=COUNTRIES
)
STEPS = ("PaymentReceived", "OrderShipped", "OrderDelivered", "OrderCompleted", "OrderCancelled")
KINDS: list[tuple[str, str, st.SearchStrategy[dict[str, Any]]]] = [
    *[("order", "OrderPlaced", PLACED)] * 3,
    *[("order", "OrderAmended", PLACED)] * 2,
    ("order", "OrderVoided", st.just({})),
    *[("order", "OrderRefunded", REFUNDED)] * 2,
    ("credit_note", "CreditNoteIssued", ISSUED),
    ("credit_note", "CreditNoteVoided", st.just({})),
    *[("order", step, STEP) for step in STEPS],
    ("customer", "CustomerRegistered", document(name=COUNTRIES, country=COUNTRIES, registered_at=TIMES)),
    ("customer", "CustomerRemoved", st.just({})),
    ("product", "ProductRemoved", st.just({})),
    ("product", "ProductListed", document(name=COUNTRIES, category=COUNTRIES, unit_price=MONEY)),
    ("inventory", "InventoryAdjusted", document(delta=st.integers(-9, 9), reason=st.just("count"))),
    ("inventory", "StockReserved", document(quantity=st.integers(1, 9), order_id=IDS)),
    ("cart", "OrderPlaced", PLACED),
]


@st.composite
def events(draw: st.DrawFn) -> tuple[str, str, NewEvent]:
    aggregate_type, event_type, payloads = draw(st.sampled_from(KINDS))
    event = NewEvent(event_type, draw(payloads), {"occurred_at": draw(mostly(TIMES))})
    return aggregate_type, draw(IDS), event


# pieces: what lies between two calls of `advance`
PIECES = st.lists(st.lists(events(), min_size=1, max_size=12), min_size=1, max_size=5)


@given(pieces=PIECES, batch_size=st.integers(2, 30), rebuild_stride=st.integers(8, 80))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_rebuild_equals_incremental_row_for_row(
    shop: Shop, pieces: list[list[tuple[str, str, NewEvent]]], batch_size: int, rebuild_stride: int
) -> None:
    _empty(shop[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "BATCH_SIZE", batch_size)
        patch.setattr(rebuilding, "LARGE_BATCH_SIZE", rebuild_stride)
        for piece in pieces:
            for aggregate_type, aggregate_id, event in piece:
                append(shop[1], aggregate_type, aggregate_id, "any", [event])
            _advance_all(shop[0])
        incremental, parked = read_models(shop[1]), letters(shop[1])
        for tables in TABLES.values():
            for table in tables:
                shop[1].execute(f"truncate {table}".encode())
        for name in TABLES:
            rebuild(shop[0], name)
    assert read_models(shop[1]) == incremental
    assert letters(shop[1]) == parked


def _advance_all(settings: Settings) -> None:
    for name in TABLES:
        assert advance(settings, name).caught_up


def _empty(connection: psycopg.Connection) -> None:
    tables = [table for tables in TABLES.values() for table in tables]
    everything = ", ".join([*tables, "public.event_store", "penstock.streams", "ops.subscriptions", "ops.dead_letters"])
    connection.execute(f"truncate {everything}".encode())
    connection.execute("alter sequence public.event_store_position_seq restart")
