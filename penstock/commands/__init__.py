"""Commands: requests that may be refused. What they decide becomes events.

`order` and `inventory` decide and evolve as pure functions; `verbs` runs them against the store.
"""

from penstock.commands.dispatch import CommandContext
from shop.aggregates import load_any
from shop.inputs import AdjustInventory, CancelOrder, CompleteOrder, DeliverOrder, PayOrder, PlaceOrder, ShipOrder
from shop.orders.commands import CommandAnswer, adjust_inventory, place_order, step_order

__all__ = [
    "AdjustInventory",
    "CancelOrder",
    "CommandAnswer",
    "CommandContext",
    "CompleteOrder",
    "DeliverOrder",
    "PayOrder",
    "PlaceOrder",
    "ShipOrder",
    "adjust_inventory",
    "load_any",
    "place_order",
    "step_order",
]
