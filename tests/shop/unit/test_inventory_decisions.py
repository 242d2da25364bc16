"""A product's inventory decides and evolves without a database."""

import pytest

from penstock.errors import InsufficientStock, InvalidInput
from shop.inventory import inventory
from shop.inventory.inventory import Inventory

STOCK = Inventory(on_hand=10, reserved=4, reservations={"A": 3, "B": 1})


def fold(state: Inventory, decided) -> Inventory:
    for payload in decided:
        state = inventory.evolve(state, type(payload).__name__, payload.as_json())
    return state


def test_reserving_takes_from_what_is_available() -> None:
    after = fold(STOCK, [inventory.reserve(STOCK, "MUG", "C", 6)])
    assert (after.on_hand, after.reserved, after.available) == (10, 10, 0)
    assert after.reservations == {"A": 3, "B": 1, "C": 6}


@pytest.mark.parametrize(("quantity", "refused"), [(6, False), (7, True)])
def test_no_more_than_is_available_can_be_reserved_or_taken_away(quantity: int, refused: bool) -> None:
    if not refused:
        inventory.reserve(STOCK, "MUG", "C", quantity)
        inventory.adjust(STOCK, "MUG", -quantity, None)
        return
    for attempt in (
        lambda: inventory.reserve(STOCK, "MUG", "C", quantity),
        lambda: inventory.adjust(STOCK, "MUG", -quantity, None),
    ):
        with pytest.raises(InsufficientStock) as error:
            attempt()
        assert error.value.details == {"product_id": "MUG", "available": 6, "requested": 7}


def test_giving_back_releases_the_orders_pieces_alone() -> None:
    after = fold(STOCK, inventory.give_back(STOCK, "MUG", "A", "order-cancelled"))
    assert (after.on_hand, after.reserved, after.reservations) == (10, 1, {"B": 1})


def test_handing_out_takes_pieces_and_reservation_together() -> None:
    after = fold(STOCK, inventory.hand_out(STOCK, "MUG", "A", "order-shipped"))
    assert (after.on_hand, after.reserved, after.available) == (7, 1, 6)
    assert after.available == STOCK.available


@pytest.mark.parametrize("leave", [inventory.give_back, inventory.hand_out])
def test_an_order_that_holds_nothing_moves_nothing(leave) -> None:
    assert leave(STOCK, "MUG", "Z", "order-cancelled") == []


def test_an_adjustment_of_zero_is_refused() -> None:
    with pytest.raises(InvalidInput, match="delta"):
        inventory.adjust(STOCK, "MUG", 0, None)


@pytest.mark.parametrize("value", [None, "5 ", "five", 2.5, 1e30, True, [], {}])
def test_a_poisoned_event_moves_nothing(value: object) -> None:
    assert inventory.evolve(STOCK, "InventoryAdjusted", {"delta": value}) == STOCK
    assert inventory.evolve(STOCK, "StockReserved", {"quantity": value, "order_id": "A"}) == STOCK
    assert inventory.evolve(STOCK, "SomethingElse", {"delta": 5}) == STOCK
