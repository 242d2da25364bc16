"""Look up what was given back of an order."""

from typing import Any

from psycopg import Cursor


def refunds_of(cursor: Cursor[dict[str, Any]], order_id: str) -> list[dict[str, Any]]:
    """The order's refunds with their lines, the earliest first."""
    refunds = cursor.execute(_REFUNDS, (order_id,)).fetchall()
    lines = cursor.execute(_LINES, (order_id,)).fetchall() if refunds else []
    items: dict[str, list[dict[str, Any]]] = {refund["refund_id"]: [] for refund in refunds}
    for line in lines:
        items.setdefault(line.pop("refund_id"), []).append(line)
    return [{**refund, "items": items[refund["refund_id"]]} for refund in refunds]


_REFUNDS = """
select refund_id, amount, tax, shipping, refunded_at
from shop.refunds where aggregate_type = 'order' and aggregate_id = %s order by refunded_at, position
"""
_LINES = """
select refund_id, line, product_id, quantity, amount, restocked
from shop.refund_items where aggregate_type = 'order' and aggregate_id = %s order by refund_id, line
"""
