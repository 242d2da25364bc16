"""How an order's stream becomes its state."""

from dataclasses import asdict
from typing import Any, Final

from penstock.event_store import Fold, Loaded, RecordedEvent, Reducer, load_aggregate
from penstock.postgres.pool import Connection
from shop.orders import order
from shop.orders.order import Order


def _evolve(state: Order, event: RecordedEvent) -> Order:
    return order.evolve(state, event.event_type, event.payload)


def _restore(dumped: dict[str, Any]) -> Order:
    return Order(**dumped | {"items": tuple(dumped["items"])})


FOLD: Final = Fold(order.AGGREGATE_TYPE, Reducer("order", 5, Order(), _evolve, asdict, _restore))


def load_order(connection: Connection, order_id: str, *, at_version: int | None = None) -> Loaded[Order]:
    return load_aggregate(connection, FOLD.reducer, order.AGGREGATE_TYPE, order_id, at_version=at_version)
