"""Refunds against the store: the read models, the shelf, retries, and callers at once."""

from contextlib import suppress
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from penstock.errors import Conflict, EventIdReused, InvalidInput
from penstock.event_store import read_stream
from penstock.projections import advance_all, rebuild
from penstock.settings import Settings
from shop.orders.fold import load_order
from shop.refunds.commands import refund_order
from shop.refunds.inputs import RefundOrder
from shop.refunds.refund import RefundExceedsTotal
from tests.integration.http.conftest import Api
from tests.shop.orders.test_orders import adjust, context, place, race, step, stock
from tests.shop.projections.store import read_models, store

REFUNDS = "select refund_id, currency, amount, tax, shipping, customer_id from shop.refunds order by refund_id"
ITEMS = (
    "select refund_id, line, product_id, quantity, amount, restocked from shop.refund_items order by refund_id, line"
)


def refund(settings: Settings, order_id: str = "A-1", key: str | None = None, **said: Any):
    return refund_order(settings, order_id, RefundOrder.model_validate(said), context(key))


def line(pieces: int, amount: str = "2.50", restock: bool = True, product_id: str = "MUG") -> dict[str, Any]:
    return {"product_id": product_id, "quantity": pieces, "amount": amount, "restock": restock}


def test_a_refund_is_in_the_read_models_with_its_lines(settings: Settings, connection: psycopg.Connection) -> None:
    place(settings, ("MUG", 4), ("TEA", 1), order_id="A-1", customer_id="C", shipping="3", tax="1.10", currency="EUR")
    step(settings, "A-1", "pay", method="card", transaction_id="tx-1")
    refund(
        settings, refund_id="r1", items=[line(1, "2.75", product_id="TEA"), line(2, "5.00", restock=False)], tax="0.25"
    )
    refund(settings, refund_id="r2")
    advance_all(settings)
    assert connection.execute(REFUNDS).fetchall() == [
        ("r1", "EUR", Decimal("7.75"), Decimal("0.25"), 0, "C"),
        ("r2", "EUR", Decimal("8.85"), Decimal("0.85"), 3, "C"),
    ]
    assert connection.execute(ITEMS).fetchall() == [
        ("r1", 1, "TEA", 1, Decimal("2.75"), True),
        ("r1", 2, "MUG", 2, Decimal("5.00"), False),
    ]
    held = read_models(connection)
    for table in ("refunds", "refund_items", "orders", "order_items"):
        assert held[table]
    for projection in ("orders", "refunds"):
        assert rebuild(settings, projection).inserted == 0
    assert read_models(connection) == held


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (("pay",), (10, 2, 8)),  # what the order still holds is held no more
        (("pay", "ship"), (8, 0, 8)),
        (("pay", "complete"), (8, 0, 8)),
    ],
)
def test_pieces_go_back_on_the_shelf_once(
    settings: Settings, connection: psycopg.Connection, steps: tuple[str, ...], expected: tuple[int, int, int]
) -> None:
    adjust(settings, "MUG", 10)
    place(settings, ("MUG", 4), ("UNTRACKED", 1), order_id="A-1", currency="EUR")
    for name in steps:
        step(settings, "A-1", name)
    said = {"refund_id": "r1", "items": [line(2), line(1, product_id="UNTRACKED")]}
    first = refund(settings, **said)[1]
    again = refund(settings, **said)[1]
    assert (again.position, again.version, again.duplicate) == (first.position, first.version, True)
    assert stock(settings, "MUG") == expected
    assert read_stream(connection, "inventory", "UNTRACKED") == []
    [*_, restocked] = read_stream(connection, "inventory", "MUG")
    [*_, refunded] = read_stream(connection, "order", "A-1")
    assert (restocked.payload["reason"], restocked.metadata["causation_id"]) == ("order-refunded", str(refunded.id))
    if steps == ("pay",):
        step(settings, "A-1", "ship")
        assert stock(settings, "MUG") == (8, 0, 8)


def test_a_refused_refund_puts_nothing_back(settings: Settings, connection: psycopg.Connection) -> None:
    adjust(settings, "MUG", 10)
    place(settings, ("MUG", 4), order_id="A-1", currency="EUR")
    step(settings, "A-1", "pay")
    step(settings, "A-1", "ship")
    with pytest.raises(RefundExceedsTotal):
        refund(settings, items=[line(2, "10.01")])
    assert stock(settings, "MUG") == (6, 0, 6)


def test_a_key_gives_money_back_once(settings: Settings) -> None:
    place(settings, ("MUG", 4), order_id="A-1", currency="EUR")
    step(settings, "A-1", "pay")
    first, answer = refund(settings, key="k1", amount="2")
    again, repeated = refund(settings, key="k1", amount="2")
    assert (first, answer.duplicate) == (again, False)
    assert (repeated.duplicate, repeated.position, repeated.state) == (True, answer.position, answer.state)
    with pytest.raises(EventIdReused):
        refund(settings, key="k1", amount="3")
    with pytest.raises(Conflict, match="another refund"):
        refund(settings, refund_id=first, amount="3")


def test_callers_at_once_never_give_back_more_than_was_paid(settings: Settings, connection: psycopg.Connection) -> None:
    adjust(settings, "MUG", 10)
    place(settings, ("MUG", 4), order_id="A-1", currency="EUR")
    step(settings, "A-1", "pay")
    step(settings, "A-1", "ship")
    results = race(8, lambda index: refund(settings, items=[line(1, "2.50", restock=index % 2 == 0)]))
    refused = [each for each in results if isinstance(each, Exception)]
    assert len(refused) == 4, refused
    assert all(isinstance(each, RefundExceedsTotal) for each in refused), refused
    state = load_order(connection, "A-1").state
    assert (state.refunded, len(state.refunds)) == (Decimal("10.00"), 4)
    back = sum(item.get("restock", False) for refund in state.refunds.values() for item in refund["items"])
    assert stock(settings, "MUG") == (6 + back, 0, 6 + back)


def test_one_refund_said_by_many_at_once_is_one(settings: Settings, connection: psycopg.Connection) -> None:
    place(settings, ("MUG", 4), order_id="A-1", currency="EUR")
    step(settings, "A-1", "pay")
    results = race(6, lambda _: refund(settings, refund_id="r1"))
    assert [each for each in results if isinstance(each, Exception)] == []
    assert sorted(answer.duplicate for _, answer in results) == [False, *[True] * 5]
    assert [event.event_type for event in read_stream(connection, "order", "A-1")][2:] == ["OrderRefunded"]


MONEY = st.decimals("0.01", "12", places=2).map(str)
COMMANDS = st.fixed_dictionaries(
    {},
    optional={
        "refund_id": st.sampled_from(["r1", "r2"]),
        "amount": MONEY,
        "tax": st.sampled_from(["0.10", "0.60"]),
        "shipping": st.sampled_from(["1", "3"]),
        "items": st.lists(
            st.builds(line, st.integers(0, 3), MONEY, st.booleans(), st.sampled_from(["MUG", "TEA"])), max_size=2
        ),
    },
)


@pytest.fixture(scope="module")
def shop():
    with store() as opened:
        yield opened


@examples(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(said=st.lists(COMMANDS, min_size=1, max_size=6))
def test_whatever_is_asked_for_no_more_than_was_paid_is_given_back(shop: Any, said: list[Any]) -> None:
    settings, connection = shop
    order_id = uuid4().hex
    place(settings, ("MUG", 4), ("TEA", 2), order_id=order_id, shipping="3.00", tax="1.20", currency="EUR")
    step(settings, order_id, "pay")
    for each in said:
        with suppress(Conflict, InvalidInput):
            refund(settings, order_id, **each)
    advance_all(settings)
    state = load_order(connection, order_id).state
    given_back = connection.execute(
        "select coalesce(sum(amount), 0), coalesce(sum(tax), 0), coalesce(sum(shipping), 0), count(*)"
        " from shop.refunds where order_id = %s",
        (order_id,),
    ).fetchone()
    assert given_back is not None
    assert given_back[0] == state.refunded <= Decimal("19.20")
    assert given_back[1] <= Decimal("1.20")
    assert given_back[2] <= 3
    assert given_back[3] == len(state.refunds)
    pieces = connection.execute(
        "select product_id, sum(quantity)::int from shop.refund_items where aggregate_id = %s group by 1", (order_id,)
    ).fetchall()
    assert all(number <= {"MUG": 4, "TEA": 2}[product_id] for product_id, number in pieces)


def test_the_route_answers_what_was_given_back_and_what_remains(api: Api) -> None:
    items = [{"product_id": "MUG", "quantity": 2, "unit_price": "5.00"}]
    api.http.post("/v1/orders", json={"order_id": "a/1", "currency": "EUR", "items": items})
    path = "/v1/orders/a/1/refund"
    assert api.http.post(path).json()["type"] == "urn:penstock:problem:impossible-step"
    api.http.post("/v1/orders/a/1/pay")
    first = api.http.post(path, json={"refund_id": "r1", "amount": "4", "reason": "late"})
    assert (first.status_code, first.json()["refunded"], first.json()["status"]) == (200, "4", "paid")
    more = api.http.post(path, json={"amount": "6.01"})
    assert (more.status_code, more.json()["type"]) == (409, "urn:penstock:problem:refund-exceeds-total")
    assert more.json()["remaining"] == "6.00"
    rest = api.http.post(path)
    assert (rest.json()["amount"], rest.json()["refunded"], rest.json()["total"]) == ("6.00", "10.00", "10.00")
    assert api.http.post(path, json={"amount": "0"}).status_code == 422
