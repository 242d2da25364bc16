"""Orders, page by page, the latest first; those of a customer are their history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import sql

from penstock.errors import NotFound
from penstock.event_store import read_checkpoint
from penstock.postgres.keyset import Key
from penstock.postgres.listing import Listing, read_page
from penstock.postgres.pool import Connection
from shop.orders.order import Status

ORDERS: Final = Listing(
    "orders",
    sql.Identifier("shop", "orders"),
    (
        "order_id",
        "customer_id",
        "status",
        "currency",
        "country",
        "total",
        "gross_sales",
        "discount",
        "shipping",
        "tax",
        "tax_included",
        "items_count",
        "shipping_address",
        "payment_method",
        "transaction_id",
        "carrier",
        "tracking",
        "warehouse",
        "signature",
        "placed_at",
        "paid_at",
        "shipped_at",
        "delivered_at",
        "completed_at",
        "cancelled_at",
        "version",
    ),
    (Key("placed_at", "timestamptz", descending=True), Key("order_id", "text", descending=True, bytewise=True)),
)


@dataclass(frozen=True)
class OrderFilter:
    """What is wanted, all of it at once. Times go by when an order was placed: from one, and before another."""

    customer_id: str | None = None
    status: Status | None = None
    currency: str | None = None
    placed_from: datetime | None = None
    placed_before: datetime | None = None


def list_orders(
    connection: Connection, wanted: OrderFilter, *, after: str | None = None, max_count: int = 100
) -> dict[str, Any]:
    """A page of orders without their lines; `position` is how far the projection has come."""
    checkpoint = read_checkpoint(connection, "orders")
    where, rest = _conditions(wanted)
    page = read_page(connection, ORDERS, where=where, rest=rest, values=vars(wanted), after=after, max_count=max_count)
    return {"orders": page.rows, "next": page.next, "position": checkpoint}


def list_orders_of_customer(
    connection: Connection, wanted: OrderFilter, *, after: str | None = None, max_count: int = 100
) -> dict[str, Any]:
    """The same for one customer. Raises `NotFound` if neither an order nor a registration names them."""
    found = list_orders(connection, wanted, after=after, max_count=max_count)
    if not found["orders"] and not connection.execute(_KNOWN, vars(wanted)).fetchone():
        raise NotFound(
            f"the read models have no customer {wanted.customer_id}",
            customer_id=wanted.customer_id,
            position=found["position"],
        )
    return found


def _conditions(wanted: OrderFilter) -> tuple[list[sql.Composable], list[sql.Composable]]:
    """What an index finds, and the rest. Of customer and status one index can be begun at: the customer's first."""
    where: list[sql.Composable] = [sql.SQL(text) for name, text in _RANGE.items() if getattr(wanted, name) is not None]
    rest: list[sql.Composable] = []
    if wanted.customer_id is not None:
        where.append(sql.SQL("customer_id = %(customer_id)s"))
    if wanted.status is not None:
        # a literal, or the index of the orders that are not completed would not be known to fit
        condition = sql.SQL("status = {}").format(sql.Literal(wanted.status))
        indexed = wanted.customer_id is None and wanted.status != "completed"
        (where if indexed else rest).append(condition)
    if wanted.currency is not None:
        rest.append(sql.SQL("currency = %(currency)s"))
    return where, rest


_RANGE: Final = {"placed_from": "placed_at >= %(placed_from)s", "placed_before": "placed_at < %(placed_before)s"}
_KNOWN: Final = """
select true from shop.customers where customer_id = %(customer_id)s
union all
select true from shop.orders where customer_id = %(customer_id)s
limit 1
"""
