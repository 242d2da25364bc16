"""What may be given back is decided without a database."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from penstock.errors import Conflict, ImpossibleStep, InvalidInput, NotFound
from shop import events
from shop.events import OrderRefunded
from shop.orders import order
from shop.orders.order import Order
from shop.refunds.inputs import RefundOrder
from shop.refunds.refund import RefundExceedsTotal, decide, restocked

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ITEMS = [
    {"product_id": "MUG", "quantity": 3, "unit_price": "10.00", "discount": "2.00", "tax": "5.60"},
    {"product_id": "TEA", "quantity": 2, "unit_price": "1.50"},
]
# 33.00 - 4.00 + 5.00 + 6.60
PLACED = {
    "order_id": "A-1",
    "currency": "EUR",
    "placed_at": "2026-11-20T09:30:00Z",
    "items": ITEMS,
    "discount": "4.00",
    "shipping": "5.00",
    "tax": "6.60",
}


def fold(*said: tuple[str, dict[str, Any]]) -> Order:
    state = Order()
    for event_type, payload in said:
        state = order.evolve(state, event_type, payload)
    return state


def paid(*more: tuple[str, dict[str, Any]], **fields: Any) -> Order:
    placed = events.OrderPlaced.model_validate(PLACED | fields).as_json()
    return fold(("OrderPlaced", placed), ("PaymentReceived", {}), *more)


def refund(state: Order, refund_id: str = "r1", **said: Any) -> OrderRefunded | None:
    return decide(state, "A-1", refund_id, RefundOrder.model_validate(said), NOW)


def after(state: Order, refund_id: str = "r1", **said: Any) -> Order:
    given = refund(state, refund_id, **said)
    assert given is not None
    return order.evolve(state, "OrderRefunded", given.as_json())


def test_without_a_word_all_that_remains_is_given_back_with_its_tax_and_shipping() -> None:
    given = refund(paid())
    assert given is not None
    assert given.as_json() == {
        "refund_id": "r1",
        "refunded_at": "2026-11-21T09:30:00Z",
        "amount": "40.60",
        "currency": "EUR",
        "tax": "6.60",
        "shipping": "5.00",
        "reason": None,
        "items": [],
    }


def test_the_rest_is_what_earlier_refunds_left() -> None:
    state = after(paid(), amount="10.60", tax="1.60", shipping="5.00")
    given = refund(state, "r2")
    assert given is not None
    assert (given.amount, given.tax, given.shipping) == (Decimal("30.00"), Decimal("5.00"), Decimal(0))
    state = after(state, "r2")
    assert (state.refunded, state.status) == (Decimal("40.60"), "paid")
    with pytest.raises(RefundExceedsTotal) as refused:
        refund(state, "r3")
    assert refused.value.details == {"order_id": "A-1", "remaining": "0.00", "currency": "EUR"}


def test_of_a_rest_that_is_less_than_its_tax_no_more_than_the_rest_is_tax() -> None:
    given = refund(after(paid(), amount="36.60"), "r2")
    assert given is not None
    assert (given.amount, given.tax, given.shipping) == (Decimal("4.00"), Decimal("4.00"), Decimal(0))


def test_items_without_an_amount_come_to_what_they_say_and_the_shipping() -> None:
    line = {"product_id": "MUG", "quantity": 2, "amount": "18.66"}
    given = refund(paid(), items=[line])
    assert given is not None
    assert given.amount == Decimal("18.66")
    given = refund(paid(), items=[line], shipping="5.00", tax="3.73")
    assert given is not None
    assert (given.amount, given.tax, given.shipping) == (Decimal("23.66"), Decimal("3.73"), Decimal("5.00"))


@pytest.mark.parametrize(
    ("said", "remaining"),
    [({"amount": "40.61"}, "40.60"), ({"items": [{"product_id": "MUG", "quantity": 1, "amount": "41"}]}, "40.60")],
)
def test_more_than_the_total_is_refused(said: dict[str, Any], remaining: str) -> None:
    with pytest.raises(RefundExceedsTotal) as refused:
        refund(paid(), **said)
    assert refused.value.details["remaining"] == remaining


def test_more_pieces_than_were_ordered_are_refused_over_all_refunds() -> None:
    def line(pieces: int) -> dict[str, Any]:
        return {"product_id": "MUG", "quantity": pieces, "amount": "1"}

    state = after(paid(), items=[line(1), line(1)])
    assert refund(state, "r2", items=[line(1)]) is not None
    assert refund(state, "r2", items=[line(0)]) is not None  # money for pieces that the customer keeps
    with pytest.raises(RefundExceedsTotal) as refused:
        refund(state, "r2", items=[line(1), line(1)])
    assert refused.value.details == {"product_id": "MUG", "remaining": 0}


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"items": [{"product_id": "LAMP", "quantity": 1, "amount": "1"}]}, "items.0.product_id"),
        ({"amount": "1", "items": [{"product_id": "MUG", "quantity": 1, "amount": "2"}]}, "items"),
        ({"items": [{"product_id": "MUG", "quantity": 1, "amount": "0"}]}, "amount"),
        ({"amount": "10", "shipping": "5.01"}, "shipping"),
        ({"amount": "10", "tax": "6.61"}, "tax"),
        ({"amount": "3", "tax": "2", "shipping": "2"}, "amount"),
    ],
)
def test_parts_that_the_order_does_not_have_are_refused(said: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        refund(paid(), **said)
    assert refused.value.details["errors"][0]["field"] == field  # type: ignore[index]


@pytest.mark.parametrize(
    ("steps", "allowed"),
    [
        ((), False),
        (("PaymentReceived",), True),
        (("OrderCompleted",), True),  # as imports have it: completed without a payment
        (("OrderShipped",), True),
        (("OrderCancelled",), False),
        (("PaymentReceived", "OrderCancelled"), True),
        (("OrderCompleted", "OrderVoided"), False),
    ],
)
def test_money_is_given_back_for_what_was_paid(steps: tuple[str, ...], allowed: bool) -> None:
    placed = events.OrderPlaced.model_validate(PLACED).as_json()
    state = fold(("OrderPlaced", placed), *((step, {}) for step in steps))
    if allowed:
        assert after(state).status == state.status
        return
    with pytest.raises(ImpossibleStep) as refused:
        refund(state)
    assert refused.value.details == {"status": state.status, "step": "refund"}


def test_an_order_that_was_never_placed_has_nothing_to_give_back() -> None:
    with pytest.raises(NotFound):
        refund(Order())
    with pytest.raises(InvalidInput, match="no total"):
        refund(fold(("OrderPlaced", {}), ("PaymentReceived", {})))


def test_a_refund_said_again_is_no_other_and_another_of_its_id_is_refused() -> None:
    line = {"product_id": "MUG", "quantity": 1, "amount": "2", "restock": True}
    state = after(after(paid(), items=[line], reason="broken"), "r2")
    assert refund(state, items=[line], reason="broken") is None
    assert refund(state, amount="2.00", items=[line], reason="broken") is None
    assert refund(state, "r2") is None
    for other in ({"reason": "late"}, {"amount": "3"}, {"refunded_at": "2026-11-20T10:00:00Z"}):
        with pytest.raises(Conflict, match="has another refund r1"):
            refund(state, **({"items": [line], "reason": "broken"} | other))


def test_what_a_refund_puts_back_is_counted_by_product() -> None:
    lines = [{"product_id": "MUG", "quantity": 1, "amount": "1", "restock": True}] * 2
    given = refund(paid(), items=[*lines, {"product_id": "TEA", "quantity": 1, "amount": "1"}])
    assert given is not None
    assert restocked(given) == {"MUG": 2}


def test_nothing_of_an_order_that_was_cancelled_on_the_shelf_goes_back_to_it() -> None:
    line = {"product_id": "MUG", "quantity": 1, "amount": "1", "restock": True}
    with pytest.raises(ImpossibleStep, match="never left the shelf"):
        refund(paid(("OrderCancelled", {})), items=[line])
    assert refund(paid(("OrderShipped", {}), ("OrderCancelled", {})), items=[line]) is not None


def test_money_of_another_currency_is_never_taken_from_what_remains() -> None:
    state = paid(("OrderRefunded", {"refund_id": "bare", "amount": "40", "currency": "JPY"}))
    assert (state.refunded, refund(state).amount) == (0, Decimal("40.60"))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("said", "total"),
    [
        ({}, "40.60"),
        ({"tax_included": True}, "34.00"),
        ({"discount": None, "tax": None}, "41.60"),  # 33 - 2 + 5 + 5.60: what the lines say
        ({"discount": "38.00", "tax": None, "items": [ITEMS[0] | {"tax": None}, ITEMS[1]]}, "0.00"),
        ({"items": [*ITEMS, {"product_id": "GIFT", "quantity": 1, "unit_price": "0"}]}, "40.60"),
    ],
)
def test_an_orders_total_is_lines_less_discount_and_shipping_and_tax(said: dict[str, Any], total: str) -> None:
    placed = events.OrderPlaced.model_validate(PLACED | said)
    assert placed.as_json()["total"] == total
    assert events.OrderPlaced.model_validate(placed.as_json()) == placed
    with pytest.raises(ValidationError, match="discount"):
        events.OrderPlaced.model_validate(PLACED | said | {"total": "40.59"})
    assert fold(("OrderPlaced", placed.as_json())).gross_sales == "33.00"


@pytest.mark.parametrize(
    "said",
    [
        {"discount": "1.99"},
        {"tax": "5.59"},
        {"discount": "44.61"},
        {"shipping": "-1"},
        {"tax": "30", "tax_included": True, "discount": "13"},
        {"tax_included": "yes"},
    ],
)
def test_parts_that_cannot_be_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        events.OrderPlaced.model_validate(PLACED | said)


def test_an_order_without_parts_is_stored_as_before_there_were_any() -> None:
    plain = {name: PLACED[name] for name in ("order_id", "currency", "placed_at")}
    zero = {"discount": "0", "shipping": "0.00", "tax": "0", "tax_included": False, "shipping_address": None}
    items = [{"product_id": "MUG", "quantity": 3, "unit_price": "10.00"}]
    stored = events.OrderPlaced.model_validate(plain | {"items": items} | zero).as_json()
    assert stored == {
        **plain,
        "customer_id": None,
        "country": None,
        "items": [{**items[0], "name": None, "category": None}],
        "total": "30.00",
    }
