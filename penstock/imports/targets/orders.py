"""Order lines. Lines with one `order_id` are one order, wherever in the file they stand.

The order's time is that of its earliest line, its total the exact sum over its lines. A line may give `unit_price`,
or `amount` for the whole line. A category or name that the file does not give is taken from the catalogue.
"""

from penstock.imports.kinds import Code, Identifier, Integer, Number, Text, Timestamp
from penstock.imports.target import Facts, Field, Profile, Target, register

_ONLINE_RETAIL = Profile(
    "online_retail",
    frozenset({"invoiceno", "stockcode", "description", "quantity", "invoicedate", "unitprice", "customerid"}),
    kinds={"order_id": Identifier(refuse=("CA", "a cancellation (C…) or an adjustment (A…), not a sale"))},
    constants={"currency": "GBP"},
)
# Baskets of a till with the total of each line: coupons and voids stand in them as lines of nothing.
_COMPLETE_JOURNEY = Profile(
    "complete_journey",
    frozenset({"householdid", "basketid", "productid", "quantity", "salesvalue", "transactiontimestamp"}),
    kinds={"quantity": Integer(0, 1_000_000_000), "amount": Number()},
)

# Expressions and not SQL functions: half a million calls would cost seconds.
_PRICE = "case when scale(l.price) <= 3 then round(l.price, 3)::text else trim_scale(l.price)::text end"
_TOTAL = (
    "case when scale(sum(l.line_total)) <= 3 then round(sum(l.line_total), 3) else trim_scale(sum(l.line_total)) end"
)

_SELECT = """
with catalogue as (
  select distinct on (e.aggregate_id) e.aggregate_id, e.payload ->> 'name' as name, e.payload ->> 'category' as category
  from public.event_store as e
  where e.aggregate_type = 'product' and e.event_type = 'ProductListed'
  order by e.aggregate_id, e.version desc
), lines as (
  select
    r.ord, r.order_id, r.ordered_at, r.customer_id, r.country, r.currency, r.product_id, r.quantity, r.amount,
    coalesce(r.product_name, c.name) as product_name, coalesce(r.category, c.category) as category,
    coalesce(r.unit_price, round(r.amount / nullif(r.quantity, 0), 6), 0) as price,
    coalesce(r.amount, r.quantity * r.unit_price) as line_total
  from {rows} as r
  left join catalogue as c on c.aggregate_id = r.product_id
  order by r.order_id, r.ord -- the aggregates below take the lines in this order
  offset 0
)
select
  min(l.ord) as first_ord, count(*) as lines, 'order' as aggregate_type, l.order_id as aggregate_id,
  null::uuid as id, 'OrderPlaced' as event_type, array['OrderCompleted'] as more, 1 as schema_version,
  min(l.ordered_at) as occurred_at, null::jsonb as metadata,
  -- written as text, after the sort, and read once: jsonb built of jsonb is copied item by item
  (
    '{{"order_id": ' || to_json(l.order_id)::text
    || ', "customer_id": ' || coalesce(to_json(
      (array_agg(l.customer_id) filter (where l.customer_id is not null))[1])::text, 'null')
    || ', "currency": ' || to_json((array_agg(l.currency))[1])::text
    || ', "country": ' || coalesce(to_json(
      (array_agg(l.country) filter (where l.country is not null))[1])::text, 'null')
    || ', "placed_at": "' || staging.moment(min(l.ordered_at))
    || '", "total": "' || <total>::text || '", "items": [' || string_agg(
      '{{"product_id": ' || to_json(l.product_id)::text
      || ', "name": ' || coalesce(to_json(l.product_name)::text, 'null')
      || ', "category": ' || coalesce(to_json(l.category)::text, 'null') || ', "quantity": ' || l.quantity::text
      || ', "unit_price": "' || <price> || '"' || coalesce(', "amount": "' || l.amount::text || '"', '') || '}}',
      ',') || ']}}'
  )::jsonb as payload
from lines as l
group by l.order_id
""".replace("<price>", _PRICE).replace("<total>", f"({_TOTAL})")

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
        profiles=(_ONLINE_RETAIL, _COMPLETE_JOURNEY),
    )
)
