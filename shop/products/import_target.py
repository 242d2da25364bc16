"""The catalogue: one line, one product, one `ProductListed`.

A line that says what the product's stream says already is a duplicate; one that says something else is a new listing.
"""

from penstock.ingest.files.parse.types import Identifier, Number, Text, Timestamp
from penstock.ingest.files.target import EventMapping, Field, Target
from shop.events import MAX_NAME
from shop.profiles import shopify, woocommerce

_SELECT = """
select
  r.ord as first_ord, 1::bigint as lines, 'product' as aggregate_type, r.product_id as aggregate_id, null::uuid as id,
  'ProductListed' as event_type, array[]::text[] as more, 1 as schema_version,
  coalesce(r.listed_at, {begun_at}) as occurred_at, null::jsonb as metadata,
  jsonb_build_object(
    'product_id', r.product_id, 'name', coalesce(r.name, r.product_id), 'category', r.category,
    'unit_price', r.unit_price::text
  ) as payload
from {rows} as r
"""

TARGET = Target(
    name="products",
    fields=(
        Field("product_id", Identifier(), True, ("StockCode", "sku", "product", "item_id", "id")),
        Field("name", Text(MAX_NAME), False, ("product_name", "Description", "title", "product_type")),
        Field("category", Text(at_most=200), False, ("product_category", "department")),
        Field("unit_price", Number(), False, ("UnitPrice", "price", "list price")),
        Field("listed_at", Timestamp(of_event=True), False, ("created_at", "date")),
    ),
    into=EventMapping(_SELECT, repeat="latest", by="product_id"),
    profiles=(shopify.PRODUCTS, woocommerce.PRODUCTS),
)
