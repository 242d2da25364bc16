"""Order lines. Lines with one `order_id` are one order, wherever in the file they stand.

The order's time is that of its earliest line, its total the exact sum over its lines. A line may give `unit_price`,
or `amount` for the whole line. A category or name that the file does not give is taken from the catalogue.
"""

from penstock.imports.kinds import Code, Identifier, Integer, Number, Text, Timestamp
from penstock.imports.target import Facts, Field, Profile, Target, register

_SALE_ONLY = Identifier(refuse=("CA", "a cancellation (C…) or an adjustment (A…), not a sale"))

_SELECT = """
with catalogue as (
  select distinct on (e.aggregate_id) e.aggregate_id, e.payload
  from public.event_store as e
  where e.aggregate_type = 'product' and e.event_type = 'ProductListed'
  order by e.aggregate_id, e.version desc
),
lines as (
  select
    r.ord, r.order_id, r.ordered_at, r.customer_id, r.country, r.currency,
    coalesce(r.amount, r.quantity * r.unit_price) as amount,
    json_build_object(
      'product_id', r.product_id, 'name', coalesce(r.product_name, c.payload ->> 'name'),
      'category', coalesce(r.category, c.payload ->> 'category'), 'quantity', r.quantity,
      'unit_price', staging.money(coalesce(r.unit_price, round(r.amount / r.quantity, 6)))
    ) as item,
    r.amount is not null as given,
    concat_ws(E'\\x1f', r.product_id, r.quantity, coalesce(r.amount, r.unit_price), r.customer_id) as content
  from {rows} as r
  left join catalogue as c on c.aggregate_id = r.product_id
)
select
  min(l.ord) as first_ord, count(*) as lines, 'order' as aggregate_type, l.order_id as aggregate_id,
  null::uuid as id, 'OrderPlaced' as event_type,
  jsonb_build_object(
    'order_id', l.order_id,
    'customer_id', (array_agg(l.customer_id order by l.ord) filter (where l.customer_id is not null))[1],
    'currency', (array_agg(l.currency order by l.ord))[1],
    'country', (array_agg(l.country order by l.ord) filter (where l.country is not null))[1],
    'placed_at', staging.moment(min(l.ordered_at)),
    'items', json_agg(l.item order by l.ord),
    'total', staging.money(sum(l.amount))
  ) as payload,
  min(l.ordered_at) as occurred_at,
  md5(string_agg(l.content, E'\\x1e' order by l.ord)) as digest,
  1 as schema_version, array['OrderCompleted'] as more, null::jsonb as metadata
from lines as l
group by l.order_id
"""

register(
    Target(
        name="orders",
        fields=(
            Field("order_id", Identifier(), True, ("InvoiceNo", "Invoice", "order", "order number", "basket_id")),
            Field("product_id", Identifier(), True, ("StockCode", "sku", "product", "item_id")),
            Field("product_name", Text(), False, ("Description", "name", "product description", "title")),
            Field("category", Text(at_most=200), False, ("product_category", "department")),
            Field("quantity", Integer(1, 1_000_000_000), True, ("qty", "units", "amount ordered")),
            Field(
                "ordered_at",
                Timestamp(),
                True,
                ("InvoiceDate", "order date", "placed_at", "created_at", "date", "transaction_timestamp", "timestamp"),
            ),
            Field("unit_price", Number(positive=True), False, ("UnitPrice", "price", "item price")),
            Field("amount", Number(positive=True), False, ("line total", "sales_value", "line amount")),
            Field("customer_id", Identifier(), False, ("CustomerID", "customer", "client_id", "household_id")),
            Field("country", Text(at_most=100), False, ("ship country", "customer country")),
            Field("currency", Code(3), False, ("currency code",)),
        ),
        into=Facts(_SELECT, repeat="stream", by="order_id"),
        one_of=(("amount", "unit_price"),),
        defaults={"currency": "USD"},
        profiles=(
            Profile(
                "online_retail",
                frozenset(
                    [
                        "invoiceno",
                        "stockcode",
                        "description",
                        "quantity",
                        "invoicedate",
                        "unitprice",
                        "customerid",
                        "country",
                    ]
                ),
                kinds={"order_id": _SALE_ONLY},
                constants={"currency": "GBP"},
            ),
        ),
    )
)
