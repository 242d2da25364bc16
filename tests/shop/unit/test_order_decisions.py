"""An order decides and evolves without a database."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from pydantic import ValidationError

from penstock.errors import ImpossibleStep, InvalidInput, NotFound
from shop import events
from shop.orders import order
from shop.orders.inputs import PlaceOrder
from shop.orders.order import Order

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
STEPS = ("pay", "ship", "deliver", "complete", "cancel")


def placed(**fields) -> events.OrderPlaced:
    line = {"product_id": "MUG", "quantity": 3, "unit_price": "2.550"}
    return PlaceOrder.model_validate({"items": [line], **fields}).placed("A-1", NOW, "GBP")


def evolved(*decided: events.Payload) -> Order:
    state = Order()
    for payload in decided:
        state = order.evolve(state, type(payload).__name__, payload.as_json())
    return state


def at(status: str) -> Order:
    path = {
        "placed": (),
        "paid": ("pay",),
        "shipped": ("pay", "ship"),
        "delivered": ("pay", "ship", "deliver"),
        "completed": ("pay", "complete"),
        "cancelled": ("cancel",),
    }[status]
    state = evolved(placed())
    for step in path:
        payload = order.step(state, "A-1", step, {})
        state = order.evolve(state, type(payload).__name__, payload.as_json())
    assert state.status == status
    return state


@pytest.mark.parametrize("status", ["placed", "paid", "shipped", "delivered", "completed", "cancelled"])
@pytest.mark.parametrize("step", STEPS)
def test_each_step_is_allowed_from_its_statuses_and_no_other(status: str, step: str) -> None:
    allowed = {
        ("placed", "pay"): "paid",
        ("placed", "cancel"): "cancelled",
        ("paid", "ship"): "shipped",
        ("paid", "complete"): "completed",
        ("paid", "cancel"): "cancelled",
        ("shipped", "deliver"): "delivered",
        ("shipped", "complete"): "completed",
        ("delivered", "complete"): "completed",
    }
    state = at(status)
    if (status, step) in allowed:
        payload = order.step(state, "A-1", step, {})
        after = order.evolve(state, type(payload).__name__, payload.as_json())
        assert after.status == allowed[status, step]
    else:
        with pytest.raises(ImpossibleStep) as refused:
            order.step(state, "A-1", step, {})
        assert refused.value.details["status"] == status
        assert refused.value.details["step"] == step


@pytest.mark.parametrize("step", STEPS)
def test_a_step_of_an_order_that_was_never_placed_is_not_found(step: str) -> None:
    with pytest.raises(NotFound):
        order.step(Order(), "A-1", step, {})


def test_an_order_is_placed_once() -> None:
    state = evolved(placed())
    with pytest.raises(ImpossibleStep) as refused:
        order.place(state, placed())
    assert refused.value.details["status"] == "placed"


def test_the_total_is_exact_where_floats_are_not() -> None:
    lines = [{"product_id": str(n), "quantity": 1, "unit_price": "0.1"} for n in range(3)]
    assert placed(items=lines).as_json()["total"] == "0.3"
    large = [{"product_id": "X", "quantity": 999, "unit_price": "999999999999.999999"}]
    assert placed(items=large).as_json()["total"] == "998999999999999.999001"


def test_amounts_keep_the_digits_they_came_with() -> None:
    assert placed().as_json()["items"][0]["unit_price"] == "2.550"
    assert placed().as_json()["total"] == "7.650"
    numbers = [
        {"product_id": "X", "quantity": 1, "unit_price": 2.55},
        {"product_id": "Y", "quantity": 1, "unit_price": 3},
    ]
    assert [line["unit_price"] for line in placed(items=numbers).as_json()["items"]] == ["2.55", "3"]


@pytest.mark.parametrize(
    "price",
    ["", "1,5", "1e3", "NaN", "Infinity", "-1", "1" * 13, "0.1234567", True, None, [], "٣", " 1", float("inf"), 1e300],
)
def test_what_is_no_amount_is_refused(price: object) -> None:
    with pytest.raises(ValidationError):
        placed(items=[{"product_id": "X", "quantity": 1, "unit_price": price}])


@pytest.mark.parametrize("quantity", [0, -1, 2**31, 1.0, "1", True, None])
def test_what_is_no_quantity_is_refused(quantity: object) -> None:
    with pytest.raises(ValidationError):
        placed(items=[{"product_id": "X", "quantity": quantity, "unit_price": "1"}])


@pytest.mark.parametrize(
    "time",
    [
        "2026-11-21",
        "2026-11-21T09:30:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        0,
        "now",
        "1",
        None,
    ],
)
def test_a_time_needs_an_offset_and_a_sane_year(time: object) -> None:
    if time is None:
        assert placed(placed_at=None).as_json()["placed_at"] == "2026-11-21T09:30:00Z"
    else:
        with pytest.raises(ValidationError):
            placed(placed_at=time)


def test_a_total_beyond_the_column_is_refused() -> None:
    with pytest.raises(ValidationError, match="below"):
        placed(items=[{"product_id": "X", "quantity": 2**31 - 1, "unit_price": "999999999999"}])


def test_a_placed_order_from_outside_must_add_up() -> None:
    honest = placed().as_json()
    assert events.OrderPlaced.model_validate(honest).total == Decimal("7.650")
    with pytest.raises(ValidationError, match="but items - discount"):
        events.OrderPlaced.model_validate(honest | {"total": "7.66"})


def test_the_whole_total_is_paid() -> None:
    state = evolved(placed())
    assert order.step(state, "A-1", "pay", {}).as_json() == {"amount": "7.650", "method": None, "currency": "GBP"}
    assert order.step(state, "A-1", "pay", {"amount": Decimal("7.65")}).as_json()["amount"] == "7.65"
    with pytest.raises(InvalidInput, match="amount"):
        order.step(state, "A-1", "pay", {"amount": Decimal("7.64")})


@pytest.mark.parametrize("total", [None, True, 1e300, "a lot", "1e9"])
def test_an_order_without_a_readable_total_takes_the_amount_that_is_said(total: object) -> None:
    state = order.evolve(Order(), "OrderPlaced", {"total": total})
    with pytest.raises(InvalidInput, match="amount"):
        order.step(state, "A-1", "pay", {})
    assert order.step(state, "A-1", "pay", {"amount": Decimal(5)}).as_json()["amount"] == "5"


@pytest.mark.parametrize("payload", [{}, {"items": 5}, {"items": [None, "x", {"product_id": 7}]}, {"customer_id": {}}])
def test_a_poisoned_placing_is_folded_as_far_as_it_can_be_read(payload: dict) -> None:
    state = order.evolve(Order(), "OrderPlaced", payload)
    assert state.status == "placed"
    assert state.product_ids == []


def test_events_before_the_placing_and_unknown_ones_change_nothing() -> None:
    assert order.evolve(Order(), "OrderShipped", {}) == Order()
    state = evolved(placed())
    assert order.evolve(state, "GiftWrapped", {"paper": "red"}) == state
    assert order.evolve(state, "OrderPlaced", {"total": "1"}) == state


def test_status_never_goes_back() -> None:
    delivered = at("delivered")
    assert order.evolve(delivered, "PaymentReceived", {}).status == "delivered"
