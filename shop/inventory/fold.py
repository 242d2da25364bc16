"""How an inventory's stream becomes its state."""

from dataclasses import asdict
from typing import Final

from penstock.event_store import Fold, Loaded, RecordedEvent, Reducer, load_aggregate
from penstock.postgres.pool import Connection
from shop.inventory import inventory
from shop.inventory.inventory import Inventory


def _evolve(state: Inventory, event: RecordedEvent) -> Inventory:
    return inventory.evolve(state, event.event_type, event.payload)


FOLD: Final = Fold(
    inventory.AGGREGATE_TYPE,
    Reducer("inventory", 2, Inventory(), _evolve, asdict, lambda dumped: Inventory(**dumped)),
)


def load_inventory(connection: Connection, product_id: str, *, at_version: int | None = None) -> Loaded[Inventory]:
    return load_aggregate(connection, FOLD.reducer, inventory.AGGREGATE_TYPE, product_id, at_version=at_version)
