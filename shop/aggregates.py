"""How the streams of orders and inventories become states, and those of any other aggregate.

`order` and `inventory` have a fold of their own. Any other aggregate type gets the generic one: how many events, the
type of the last, and all payloads merged key by key, a later event's value over an earlier one's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from penstock.event_store import Loaded, RecordedEvent, Reducer, load_aggregate
from penstock.postgres.pool import Connection
from shop.inventory import inventory
from shop.inventory.inventory import Inventory
from shop.orders import order
from shop.orders.order import Order


@dataclass(frozen=True)
class Merged:
    """The state of an aggregate that Penstock knows nothing of."""

    events: int = 0
    last_event_type: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def _merge(state: Merged, event: RecordedEvent) -> Merged:
    return Merged(state.events + 1, event.event_type, {**state.data, **event.payload})


def _evolve_order(state: Order, event: RecordedEvent) -> Order:
    return order.evolve(state, event.event_type, event.payload)


def _evolve_inventory(state: Inventory, event: RecordedEvent) -> Inventory:
    return inventory.evolve(state, event.event_type, event.payload)


def _restore_order(dumped: dict[str, Any]) -> Order:
    return Order(**dumped | {"items": tuple(dumped["items"])})


ORDER: Final = Reducer("order", 2, Order(), _evolve_order, asdict, _restore_order)
INVENTORY: Final = Reducer("inventory", 2, Inventory(), _evolve_inventory, asdict, lambda dumped: Inventory(**dumped))
MERGED: Final = Reducer("merged", 1, Merged(), _merge, asdict, lambda dumped: Merged(**dumped))
_KNOWN: Final[Mapping[str, Reducer[Any]]] = {"order": ORDER, "inventory": INVENTORY}


def load_order(connection: Connection, order_id: str, *, at_version: int | None = None) -> Loaded[Order]:
    return load_aggregate(connection, ORDER, order.AGGREGATE_TYPE, order_id, at_version=at_version)


def load_inventory(connection: Connection, product_id: str, *, at_version: int | None = None) -> Loaded[Inventory]:
    return load_aggregate(connection, INVENTORY, inventory.AGGREGATE_TYPE, product_id, at_version=at_version)


def load_any(
    connection: Connection,
    aggregate_type: str,
    aggregate_id: str,
    *,
    at_version: int | None = None,
    at: datetime | None = None,
) -> tuple[Loaded[dict[str, Any]], str]:
    """The state of any aggregate as plain values, and the fold that made it: `order`, `inventory` or `merged`."""
    reducer = _KNOWN.get(aggregate_type, MERGED)
    loaded = load_aggregate(connection, reducer, aggregate_type, aggregate_id, at_version=at_version, at=at)
    return replace(loaded, state=asdict(loaded.state)), reducer.name
