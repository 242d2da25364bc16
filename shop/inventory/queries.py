"""Look a product's inventory up in its read models, with its latest changes."""

from collections.abc import Sequence
from typing import Any

from psycopg import Cursor
from psycopg.rows import dict_row

from penstock import json_codec
from penstock.errors import NotFound
from penstock.event_store import read_checkpoint
from penstock.postgres.paging import take
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors


def read_inventory(connection: Connection, product_id: str, *, changes: int = 20) -> dict[str, Any]:
    """A product's pieces and its latest `changes`, newest first, at most 4 MB of them.

    Raises `NotFound` if it was never adjusted.
    """
    checkpoint = read_checkpoint(connection, "inventory")
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        present = cursor.execute(_INVENTORY, (product_id,)).fetchone()
        history = _latest_changes(cursor, product_id, changes) if present else []
    if present is None:
        raise NotFound(
            f"the read model inventory_current has no product {product_id}", product_id=product_id, position=checkpoint
        )
    return {**present, "history": history, "position": checkpoint}


def _latest_changes(cursor: Cursor[dict[str, Any]], product_id: str, changes: int) -> Sequence[dict[str, Any]]:
    return take(cursor, _HISTORY, (product_id, changes), changes, lambda row: len(json_codec.dumps(row).encode()))[0]


_INVENTORY = """
select product_id, on_hand, reserved, available, updated_at from shop.inventory_current where product_id = %s
"""
_HISTORY = """
select position, event_type, on_hand_change, reserved_change, on_hand_after, reserved_after, reason, order_id,
  occurred_at
from shop.inventory_history where product_id = %s order by position desc limit %s
"""
