"""One truth: whatever is appended, an aggregate and its read model say the same of it."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.commands.aggregates import load_inventory
from penstock.event_store import NewEvent, append
from penstock.projections import advance
from penstock.settings import Settings
from tests.integration.projections.store import store

Shop = tuple[Settings, psycopg.Connection]

ODD: st.SearchStrategy[Any] = st.one_of(
    st.integers(-(2**33), 2**33),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-9, 9).map(float),
    st.sampled_from([2**31, -(2**31), 2147483647.0, -2147483648.0, 2147483647.5, 1e30, 2.5, 1e-300]),
    st.from_regex(r"[ +-]?[0-9]{0,12}(\.[0-9]{0,3})?\n?", fullmatch=True),
    st.sampled_from(
        [None, True, False, "", " 5", "5 ", "5\n", "0x1F", "1_0", "1e2", "NaN", "Infinity", "-0", "+5", "٥"]
    ),
    st.sampled_from([[], {}, [5], {"a": 5}]),
)
CHANGES = st.one_of(st.integers(-9, 9), ODD)
ORDER_IDS: st.SearchStrategy[Any] = st.sampled_from(["o1", "o2", "", None, 17850, 17850.0, 2.5, True, [], {"a": 1}])
STOCK = st.one_of(
    st.tuples(
        st.just("InventoryAdjusted"), st.fixed_dictionaries({}, optional={"delta": CHANGES, "order_id": ORDER_IDS})
    ),
    st.tuples(
        st.just("StockReserved"), st.fixed_dictionaries({}, optional={"quantity": CHANGES, "order_id": ORDER_IDS})
    ),
)
_STOCK = "select i.on_hand, i.reserved from public.inventory_current as i where i.product_id = %s"


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with store() as opened:
        yield opened


def _put(connection: psycopg.Connection, stream: tuple[str, str], events: list[tuple[str, dict[str, Any]]]) -> None:
    for event_type, payload in events:
        append(connection, *stream, "any", [NewEvent(event_type, payload, {"occurred_at": "2010-12-01T08:26:00Z"})])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(STOCK, min_size=1, max_size=6))
def test_inventory_and_its_read_model_agree(shop: Shop, events: list[tuple[str, dict[str, Any]]]) -> None:
    store_settings, connection = shop
    product_id = uuid4().hex
    _put(connection, ("inventory", product_id), events)
    advance(store_settings, "inventory")
    row = connection.execute(_STOCK, (product_id,)).fetchone()
    state = load_inventory(connection, product_id).state
    assert (state.on_hand, state.reserved) == (row or (0, 0))


@pytest.mark.parametrize(
    ("delta", "on_hand"),
    [
        ("5", 5),
        (3.0, 3),
        ("3.0", 3),
        ("+5", 5),
        (1e30, 0),
        (2.5, 0),
        ("5 ", 0),
        (2**31, 0),
        (-(2**31), -(2**31)),
    ],
)
def test_a_change_of_stock_is_read_alike(shop: Shop, delta: Any, on_hand: int) -> None:
    store_settings, connection = shop
    product_id = uuid4().hex
    _put(connection, ("inventory", product_id), [("InventoryAdjusted", {"delta": delta})])
    advance(store_settings, "inventory")
    row = connection.execute(_STOCK, (product_id,)).fetchone() or (0, 0)
    assert (load_inventory(connection, product_id).state.on_hand, row[0]) == (on_hand, on_hand)
