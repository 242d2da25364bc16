"""Look products up in their read model: one, or page by page."""

from typing import Any, Final

from psycopg import sql
from psycopg.rows import dict_row

from penstock.errors import NotFound
from penstock.event_store import read_checkpoint
from penstock.postgres.keyset import Key
from penstock.postgres.listing import Listing, read_page
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

PRODUCTS: Final = Listing(
    "products",
    sql.Identifier("shop", "products"),
    ("product_id", "name", "category", "unit_price", "listed_at"),
    (Key("product_id", "text", bytewise=True),),
)


def read_product(connection: Connection, product_id: str) -> dict[str, Any]:
    """The product as the projection has it; `position` is how far that has come. Raises `NotFound`."""
    checkpoint = read_checkpoint(connection, "products")
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        product = cursor.execute(_PRODUCT, (product_id,)).fetchone()
    if product is None:
        raise NotFound(
            f"the read model products has no product {product_id}", product_id=product_id, position=checkpoint
        )
    return {**product, "position": checkpoint}


def list_products(
    connection: Connection, *, category: str | None = None, after: str | None = None, max_count: int = 100
) -> dict[str, Any]:
    """A page of products by their ids. A `category` of more than 200 characters finds none."""
    checkpoint = read_checkpoint(connection, "products")
    where = [sql.SQL("category = %(category)s and length(category) <= 200")] if category is not None else []
    values = {"category": category}
    page = read_page(connection, PRODUCTS, where=where, values=values, after=after, max_count=max_count)
    return {"products": page.rows, "next": page.next, "position": checkpoint}


_PRODUCT: Final = f"select {', '.join(PRODUCTS.columns)} from shop.products where product_id = %s"  # noqa: S608
