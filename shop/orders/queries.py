"""Look an order up in its read model."""

from typing import Any

from psycopg.rows import dict_row

from penstock.errors import NotFound
from penstock.event_store import read_checkpoint
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors


def read_order(connection: Connection, order_id: str) -> dict[str, Any]:
    """The order and its lines as the projection has them; `position` is how far that has come. Raises `NotFound`.

    A command that was just answered may not be in it yet: wait for its position first.
    """
    checkpoint = read_checkpoint(connection, "orders")
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        order = cursor.execute(_ORDER, (order_id,)).fetchone()
        items = cursor.execute(_ITEMS, (order_id,)).fetchall() if order else []
    if order is None:
        raise NotFound(f"the read model orders has no order {order_id}", order_id=order_id, position=checkpoint)
    return {**order, "items": items, "position": checkpoint}


_ORDER = """
select order_id, customer_id, status, currency, country, total, gross_sales, discount, shipping, tax, tax_included,
  items_count, shipping_address, payment_method, transaction_id, carrier, tracking, warehouse, signature, placed_at,
  paid_at, shipped_at, delivered_at, completed_at, cancelled_at, version
from shop.orders where order_id = %s
"""
_ITEMS = """
select line, product_id, name, category, quantity, unit_price, amount, discount, tax
from shop.order_items where order_id = %s order by line
"""
