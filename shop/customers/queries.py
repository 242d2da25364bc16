"""Look customers up in their read model: one, or page by page."""

from typing import Any, Final

from psycopg import sql
from psycopg.rows import dict_row

from penstock.errors import NotFound
from penstock.event_store import read_checkpoint
from penstock.postgres.keyset import Key
from penstock.postgres.listing import Listing, after_all_with, read_page
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

CUSTOMERS: Final = Listing(
    "customers",
    sql.Identifier("shop", "customers"),
    ("customer_id", "name", "email", "country", "registered_at", "first_order_at", "last_order_at"),
    (Key("customer_id", "text", bytewise=True),),
)


def read_customer(connection: Connection, customer_id: str) -> dict[str, Any]:
    """The customer as the projection has them; `position` is how far that has come. Raises `NotFound`."""
    checkpoint = read_checkpoint(connection, "customers")
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        customer = cursor.execute(_CUSTOMER, (customer_id,)).fetchone()
    if customer is None:
        raise NotFound(
            f"the read model customers has no customer {customer_id}", customer_id=customer_id, position=checkpoint
        )
    return {**customer, "position": checkpoint}


def list_customers(
    connection: Connection,
    *,
    country: str | None = None,
    prefix: str | None = None,
    after: str | None = None,
    max_count: int = 100,
) -> dict[str, Any]:
    """A page of customers by their ids, those that begin with `prefix`. A `country` over 200 characters finds none."""
    checkpoint = read_checkpoint(connection, "customers")
    where = [sql.SQL("country = %(country)s and length(country) <= 200")] if country is not None else []
    ends = after_all_with(prefix) if prefix else None
    if prefix:
        where.append(sql.SQL('customer_id collate "C" >= %(prefix)s'))
    if ends:
        where.append(sql.SQL('customer_id collate "C" < %(ends)s'))
    values = {"country": country, "prefix": prefix, "ends": ends}
    page = read_page(connection, CUSTOMERS, where=where, values=values, after=after, max_count=max_count)
    return {"customers": page.rows, "next": page.next, "position": checkpoint}


_CUSTOMER: Final = f"select {', '.join(CUSTOMERS.columns)} from shop.customers where customer_id = %s"  # noqa: S608
