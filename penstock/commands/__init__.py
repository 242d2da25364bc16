"""Commands: requests that may be refused. What they decide becomes events.

`order` and `inventory` decide and evolve as pure functions; `verbs` runs them against the store.
"""

from penstock.commands.aggregates import load_any
from penstock.commands.dispatch import CommandContext
from penstock.commands.inputs import (
    AdjustInventory,
    CancelOrder,
    CompleteOrder,
    DeliverOrder,
    PayOrder,
    PlaceOrder,
    ShipOrder,
)
from penstock.commands.verbs import CommandAnswer, adjust_inventory, place_order, step_order

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
