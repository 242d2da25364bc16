"""The command that gives money back: one transaction, with the pieces that go back on the shelf."""

from penstock.commands import CommandAnswer, CommandContext, Earlier, Identity, Recorder, in_transaction
from penstock.errors import NotFound
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.settings import Settings
from shop.inventory import inventory
from shop.inventory.fold import load_inventory
from shop.orders.commands import lock_with_products, record_order, replay
from shop.orders.fold import load_order
from shop.orders.order import AGGREGATE_TYPE, REFUNDED, Order
from shop.refunds import refund
from shop.refunds.inputs import RefundOrder


def refund_order(
    settings: Settings, order_id: str, command: RefundOrder, context: CommandContext
) -> tuple[str, CommandAnswer[Order]]:
    """Give money back; returns the refund's id and the order. A refund that the order has already is a duplicate.

    Raises `RefundExceedsTotal` with what remains, `ImpossibleStep` with the status of an order that was not paid, and
    what else `shop.refunds.refund.decide` does.
    """
    identity = Identity(context, "refund", order_id, command)
    refund_id = command.refund_id or str(identity.main)

    def attempt(connection: Connection) -> CommandAnswer[Order]:
        if earlier := identity.find_earlier(connection):
            return replay(connection, earlier)
        # before the order is read: callers at once wait for each other instead of failing
        tracked = lock_with_products(connection, order_id, {line.product_id for line in command.items if line.restock})
        current = load_order(connection, order_id)
        decided = refund.decide(current.state, order_id, refund_id, command, context.now)
        if decided is None:
            return replay(connection, _find(connection, order_id, refund_id))
        recorder = Recorder(connection, context, identity)
        pieces = refund.restocked(decided)
        for product_id in tracked:
            stock = load_inventory(connection, product_id)
            taken = inventory.take_back(stock.state, product_id, order_id, pieces.get(product_id, 0), "order-refunded")
            recorder.append_consequences((inventory.AGGREGATE_TYPE, product_id), stock.version, taken)
        return record_order(recorder, order_id, current.state, current.version, decided, decided.refunded_at)

    return refund_id, in_transaction(settings, identity, attempt)


def _find(connection: Connection, order_id: str, refund_id: str) -> Earlier:
    """The event of a refund that the order is known to have."""
    with translate_errors():
        found = connection.execute(_FIND, (order_id, AGGREGATE_TYPE, REFUNDED, refund_id)).fetchone()
    if found is None:
        raise NotFound(f"order {order_id} has no refund {refund_id}", order_id=order_id, refund_id=refund_id)
    return Earlier(order_id, *found)


_FIND = """
select e.version, e.position from public.current_events as e
where e.aggregate_id = %s and e.aggregate_type = %s and e.event_type = %s and e.payload ->> 'refund_id' = %s
order by e.version desc limit 1
"""
