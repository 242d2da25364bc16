"""The commands on orders: place one, move it a step. Each is one transaction.

Stock: a product is tracked once it has an inventory stream. Placing an order reserves the pieces of tracked products
or is refused; products that are not tracked are not checked. Cancelling gives a reservation back; shipping (or
completing an order that was never shipped) takes the pieces off the shelf. The streams of the order and its products
are locked first, in the order that all writers keep, so that racing orders wait for each other instead of failing.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from penstock.commands import (
    CommandAnswer,
    CommandContext,
    Earlier,
    Identity,
    Recorder,
    evolved,
    in_transaction,
    lock_streams,
)
from penstock.payloads import Payload
from penstock.postgres.pool import Connection
from penstock.settings import CURRENCY, Settings
from shop.events import OrderPlaced
from shop.inventory import inventory
from shop.inventory.fold import load_inventory
from shop.inventory.inventory import Inventory
from shop.orders import order
from shop.orders.fold import load_order
from shop.orders.inputs import PlaceOrder
from shop.orders.order import Order

_StockStep = Callable[[Inventory, str, str, str], Sequence[Payload]]

_STOCK_AFTER: Final[dict[str, tuple[_StockStep, str]]] = {
    "ship": (inventory.hand_out, "order-shipped"),
    "complete": (inventory.hand_out, "order-completed"),
    "cancel": (inventory.give_back, "order-cancelled"),
}


def place_order(settings: Settings, command: PlaceOrder, context: CommandContext) -> CommandAnswer[Order]:
    """Place an order and reserve its tracked products, all or nothing.

    Raises `InsufficientStock` (product_id, available, requested), `ImpossibleStep` if the order exists already, or
    `InvalidInput` if neither the command nor the settings name a currency.
    """
    identity = Identity(context, "place_order", command.order_id, command)

    def attempt(connection: Connection) -> CommandAnswer[Order]:
        if earlier := identity.find_earlier(connection):
            return replay(connection, earlier)
        # not before: an earlier call is answered as it was, whatever the settings say by now
        currency = command.currency or CURRENCY.required(settings, "currency")
        placed = command.placed(command.order_id or str(identity.main), context.now, currency)
        current = load_order(connection, placed.order_id)
        decided = order.place(current.state, placed)
        recorder = Recorder(connection, context, identity)
        _reserve(connection, recorder, placed)
        return record_order(recorder, placed.order_id, current.state, current.version, decided, placed.placed_at)

    return in_transaction(settings, identity, attempt)


def step_order(
    settings: Settings, order_id: str, step: str, details: Payload, context: CommandContext
) -> CommandAnswer[Order]:
    """Move an order: pay, ship, deliver, complete or cancel. Raises `NotFound` or `ImpossibleStep` with its status."""
    identity = Identity(context, step, order_id, details)

    def attempt(connection: Connection) -> CommandAnswer[Order]:
        if earlier := identity.find_earlier(connection):
            return replay(connection, earlier)
        current = load_order(connection, order_id)
        decided = order.step(current.state, order_id, step, dict(details))
        recorder = Recorder(connection, context, identity)
        if step in _STOCK_AFTER:
            _move_stock(connection, recorder, order_id, current.state, *_STOCK_AFTER[step])
        return record_order(recorder, order_id, current.state, current.version, decided, context.now)

    return in_transaction(settings, identity, attempt)


def lock_with_products(connection: Connection, order_id: str, product_ids: Iterable[str]) -> list[str]:
    """Lock the order with its products, in the one order; returns those products that are tracked."""
    products = [(inventory.AGGREGATE_TYPE, product_id) for product_id in product_ids]
    locked = lock_streams(connection, [(order.AGGREGATE_TYPE, order_id), *products])
    return [stream_id for stream_type, stream_id in locked if stream_type == inventory.AGGREGATE_TYPE]


def _reserve(connection: Connection, recorder: Recorder, placed: OrderPlaced) -> None:
    wanted: dict[str, int] = {}
    for line in placed.items:
        if not line.quantity:
            continue
        wanted[line.product_id] = wanted.get(line.product_id, 0) + line.quantity
    for product_id in lock_with_products(connection, placed.order_id, wanted):
        stock = load_inventory(connection, product_id)
        reserved = inventory.reserve(stock.state, product_id, placed.order_id, wanted[product_id])
        recorder.append_consequences((inventory.AGGREGATE_TYPE, product_id), stock.version, [reserved])


def _move_stock(
    connection: Connection, recorder: Recorder, order_id: str, state: Order, decide: _StockStep, reason: str
) -> None:
    for product_id in lock_with_products(connection, order_id, state.product_ids):
        stock = load_inventory(connection, product_id)
        decided = decide(stock.state, product_id, order_id, reason)
        recorder.append_consequences((inventory.AGGREGATE_TYPE, product_id), stock.version, decided)


def record_order(
    recorder: Recorder, order_id: str, state: Order, version: int, decided: Payload, occurred_at: datetime
) -> CommandAnswer[Order]:
    """Append what was decided, last of all; the order after it."""
    appended = recorder.append_main((order.AGGREGATE_TYPE, order_id), version, decided, occurred_at)
    state = evolved(order.evolve, state, decided)
    return CommandAnswer(order_id, state, appended.version, appended.position, appended.duplicate)


def replay(connection: Connection, earlier: Earlier) -> CommandAnswer[Order]:
    """The order as it was after that event."""
    loaded = load_order(connection, earlier.aggregate_id, at_version=earlier.version)
    return CommandAnswer(earlier.aggregate_id, loaded.state, earlier.version, earlier.position, True)
