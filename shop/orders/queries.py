"""Look an order up in its read model."""

from typing import Any, Final

from psycopg.rows import dict_row

from penstock.errors import NotFound
from penstock.event_store import read_checkpoint
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from shop.orders.lists import ORDERS
from shop.refunds.queries import refunds_of

PROJECTIONS: Final = ("orders", "refunds")


def read_order(connection: Connection, order_id: str) -> dict[str, Any]:
    """The order, its lines and refunds as the projections have them; `position` is how far both have come.

    Raises `NotFound`. A command that was just answered may not be in it yet: wait for its position first.
    """
    checkpoint = min(read_checkpoint(connection, projection) for projection in PROJECTIONS)
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        order = cursor.execute(_ORDER, (order_id,)).fetchone()
        items = cursor.execute(_ITEMS, (order_id,)).fetchall() if order else []
        refunds = refunds_of(cursor, order_id) if order else []
    if order is None:
        raise NotFound(f"the read model orders has no order {order_id}", order_id=order_id, position=checkpoint)
    return {**order, "items": items, "refunds": refunds, "position": checkpoint}


_ORDER: Final = f"select {', '.join(ORDERS.columns)} from shop.orders where order_id = %s"  # noqa: S608
_ITEMS = """
select line, product_id, name, category, quantity, unit_price, amount, discount, tax
from shop.order_items where order_id = %s order by line
"""
