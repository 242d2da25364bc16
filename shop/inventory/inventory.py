"""The inventory of one product, as pure functions: `evolve` folds events, the others decide what a command becomes.

on hand = what was adjusted; reserved = what open orders hold; available = on hand - reserved. A reservation is given
back when its order is cancelled, and leaves together with the pieces when it is shipped.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from penstock.errors import InsufficientStock, InvalidInput
from penstock.payloads import Payload
from shop.events import InventoryAdjusted, StockReserved

AGGREGATE_TYPE: Final = "inventory"

CHANGES: Final = {"InventoryAdjusted": "delta", "StockReserved": "quantity"}
_WHOLE_NUMBER: Final = re.compile(r"[+-]?(?=[0-9])0*+[0-9]{0,10}(?:\.0*+)?")


@dataclass(frozen=True)
class Inventory:
    """`reservations` holds the pieces of each open order."""

    on_hand: int = 0
    reserved: int = 0
    reservations: Mapping[str, int] = field(default_factory=dict)

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


def evolve(inventory: Inventory, event_type: str, payload: Mapping[str, Any]) -> Inventory:
    """Fold one event, by the rules of the read model: what it cannot read, and parks, changes nothing here either."""
    if event_type not in CHANGES or not _may_name_an_order(payload.get("order_id")):
        return inventory
    change = read_whole_number(payload.get(CHANGES[event_type]))
    if change is None:
        return inventory
    if event_type == "InventoryAdjusted":
        return replace(inventory, on_hand=inventory.on_hand + change)
    return _reserve(inventory, str(payload.get("order_id")), change)


def adjust(inventory: Inventory, product_id: str, delta: int, reason: str | None) -> InventoryAdjusted:
    """More or fewer pieces; what orders hold cannot be taken away."""
    if delta == 0:
        raise InvalidInput("0 changes nothing", field="delta")
    if delta < 0:
        require(inventory, product_id, -delta)
    return InventoryAdjusted(product_id=product_id, delta=delta, reason=reason)


def reserve(inventory: Inventory, product_id: str, order_id: str, quantity: int) -> StockReserved:
    """Hold pieces for an order."""
    require(inventory, product_id, quantity)
    return StockReserved(product_id=product_id, order_id=order_id, quantity=quantity)


def give_back(inventory: Inventory, product_id: str, order_id: str, reason: str) -> list[Payload]:
    """Release what the order holds, if it holds anything."""
    held = inventory.reservations.get(order_id, 0)
    if not held:
        return []
    return [StockReserved(product_id=product_id, order_id=order_id, quantity=-held, reason=reason)]


def hand_out(inventory: Inventory, product_id: str, order_id: str, reason: str) -> list[Payload]:
    """The pieces that the order holds leave the house, and its reservation with them."""
    held = inventory.reservations.get(order_id, 0)
    if not held:
        return []
    left = InventoryAdjusted(product_id=product_id, delta=-held, reason=reason)
    return [left, *give_back(inventory, product_id, order_id, reason)]


def take_back(inventory: Inventory, product_id: str, order_id: str, quantity: int, reason: str) -> list[Payload]:
    """Pieces of an order are for sale again: those that it still holds are no longer held, others come back."""
    released = min(max(inventory.reservations.get(order_id, 0), 0), quantity)
    decided: list[Payload] = []
    if released:
        decided.append(StockReserved(product_id=product_id, order_id=order_id, quantity=-released, reason=reason))
    if quantity > released:
        decided.append(InventoryAdjusted(product_id=product_id, delta=quantity - released, reason=reason))
    return decided


def require(inventory: Inventory, product_id: str, quantity: int) -> None:
    if quantity > inventory.available:
        raise InsufficientStock(
            f"{product_id}: {inventory.available} available, {quantity} requested",
            product_id=product_id,
            available=inventory.available,
            requested=quantity,
        )


def _reserve(inventory: Inventory, order_id: str, quantity: int) -> Inventory:
    reservations = dict(inventory.reservations)
    held = reservations.pop(order_id, 0) + quantity
    if held:
        reservations[order_id] = held
    return replace(inventory, reserved=inventory.reserved + quantity, reservations=reservations)


def _may_name_an_order(value: object) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def read_whole_number(value: object) -> int | None:
    """`5`, `5.0` and `"5"` are 5; anything else, and what an `integer` of Postgres does not hold, is None.

    The same rule as `stock_change` of the projections.
    """
    if isinstance(value, str):
        value = int(value.partition(".")[0]) if _WHOLE_NUMBER.fullmatch(value) else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -(2**31) <= value < 2**31 else None
