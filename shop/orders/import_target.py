"""Order lines. Lines with one `order_id` are one order, wherever in the file they are.

The order's time is that of its earliest line, its total the exact sum over its lines. A line may give `unit_price`,
or `amount` for the whole line; either may be 0, for a gift or a coupon. A category or name that the file does not give
is taken from the catalogue: from the listing of the latest time that is there when the file is loaded.
An order that is stored and that a file says otherwise is amended, as `shop.amend_order` has it.
An order is completed unless the file says another status; its further events are those of `shop.order_steps`. Where a
profile or the option `also` takes lines of less than 0 pieces, those of one `order_id` are a credit note of that id,
beside the order.
"""

from typing import get_args

from penstock.ingest.files.parse.types import Choice, Code, Identifier, Integer, Number, Text, Timestamp
from penstock.ingest.files.target import MOMENT, Amendment, EventMapping, Field, Profile, Target
from penstock.settings import CURRENCY
from shop.events import MAX_NAME
from shop.orders.order import AMENDED, VOIDED, Status
from shop.profiles import amazon, etsy, olist, shopify, square, woocommerce
from shop.refunds.projection import VOIDED as CREDIT_NOTE_VOIDED

_QUANTITY = Integer(1, 1_000_000_000, negative="with the option also=credit_notes such lines are credit notes")
_WITH_CREDIT_NOTES = Integer(-1_000_000_000, 1_000_000_000, zero=False)
_ONLINE_RETAIL = Profile(
    "online_retail",
    frozenset({"invoiceno", "stockcode", "description", "quantity", "invoicedate", "unitprice", "customerid"}),
    field_types={
        "order_id": Identifier(unwanted=("A", "an adjustment (A…), not a sale")),
        "quantity": Integer(-1_000_000_000, 1_000_000_000, zero=False, unwanted="0 pieces: not a sale"),
        "unit_price": Number(positive=True, unwanted="not more than 0: nothing was paid, not a sale"),
    },
    constants={"currency": "GBP"},
)
# Baskets of the tills of a chain in the United States, with the total of each line: coupons and voids are in them as
# lines of nothing.
_COMPLETE_JOURNEY = Profile(
    "complete_journey",
    frozenset({"householdid", "basketid", "productid", "quantity", "salesvalue", "transactiontimestamp"}),
    field_types={"quantity": Integer(0, 1_000_000_000)},
    constants={"currency": "USD"},
)

# Expressions and not SQL functions: half a million calls would cost seconds.
_PRICE = "case when scale(l.price) <= 3 then round(l.price, 3)::text else trim_scale(l.price)::text end"
_TOTAL = (
    "case when scale(sum(l.line_total)) <= 3 then round(sum(l.line_total), 3) else trim_scale(sum(l.line_total)) end"
)

_SELECT = """
with wanted as materialized (
  select distinct r.product_id from {rows} as r
  where (r.product_name is null or r.category is null)
    -- asked once: without a catalogue the lines need not be read twice; the order has the planner take the index
    and (
      select e.id from public.event_store as e where e.event_type = 'ProductListed' order by e.created_at limit 1
    ) is not null
), catalogue as materialized (
  select w.product_id, e.name, e.category
  from wanted as w
  -- product by product, by the index: two lines must not read a catalogue of a million. The ids of staged rows are
  -- collated as bytes, which is not how the store's index is.
  cross join lateral (
    select l.payload ->> 'name' as name, l.payload ->> 'category' as category
    from public.event_store as l
    where l.aggregate_id = w.product_id collate "default" and l.aggregate_type = 'product'
      and l.event_type = 'ProductListed'
      and not exists (select from penstock.undone_events as u where u.id = l.id)
    order by penstock.event_time(l.metadata, l.created_at) desc, l.version desc
    limit 1
  ) as e
), lines as (
  select
    r.ord, r.order_id, r.ordered_at, r.customer_id, r.country, r.currency, r.product_id, r.amount,
    r.status, r.cancelled_at, r.refunded_amount, r.refunded_at,
    r.quantity < 0 as is_credit, abs(r.quantity) as quantity,
    coalesce(r.product_name, c.name) as product_name, coalesce(r.category, c.category) as category,
    coalesce(r.unit_price, round(r.amount / nullif(abs(r.quantity), 0), 6), 0) as price,
    coalesce(r.amount, abs(r.quantity) * r.unit_price) as line_total
  from {rows} as r
  left join catalogue as c on c.product_id = r.product_id
  order by r.order_id, is_credit, r.ord -- the aggregates below take the lines in this order
  offset 0
), orders as (
  select
    min(l.ord) as first_ord, count(*) as lines, l.order_id, l.is_credit, min(l.ordered_at) as occurred_at,
    (array_agg(l.customer_id) filter (where l.customer_id is not null))[1] as customer_id,
    min(l.currency) as currency, min(l.currency) <> max(l.currency) as is_mixed,
    (array_agg(l.country) filter (where l.country is not null))[1] as country, <total>::text as total,
    (array_agg(l.status) filter (where l.status is not null))[1] as status,
    min(l.cancelled_at) as cancelled_at, max(l.refunded_amount) as refunded_amount, max(l.refunded_at) as refunded_at,
    array_agg(case when l.amount is null then item else item_with_amount end) as items
  from lines as l
  -- keys in jsonb's own order: they need no sorting
  cross join lateral (
    select l.product_name as name, l.category, l.quantity, l.product_id, <price> as unit_price
  ) as item
  cross join lateral (
    select l.product_name as name, l.amount::text as amount, l.category, l.quantity, l.product_id, <price> as unit_price
  ) as item_with_amount
  group by l.order_id, l.is_credit
)
select
  o.first_ord, o.lines, case when o.is_credit then 'credit_note' else 'order' end as aggregate_type,
  o.order_id as aggregate_id, null::uuid as id,
  case when o.is_mixed then null when o.is_credit then 'CreditNoteIssued' else 'OrderPlaced' end as event_type,
  case
    when o.is_credit then '{{}}' when life.steps is null then array['OrderCompleted']
    else array(select step ->> 'type' from unnest(life.steps) as step)
  end as more,
  life.steps as more_details, 1 as schema_version, o.occurred_at, null::jsonb as metadata,
  -- one call for the whole of it: jsonb built of jsonb is copied item by item, and text is to be read again
  case
    when o.is_mixed then to_jsonb('its lines are in two currencies, and an amount in two is none'::text)
    when o.is_credit then to_jsonb(credit) else to_jsonb(payload)
  end as payload
from orders as o
cross join lateral (
  select
    o.items, o.total, o.country, o.currency, o.order_id, <moment> as placed_at, o.customer_id
) as payload
cross join lateral (
  select
    o.items, o.total, o.country, o.currency, <moment> as issued_at, o.customer_id, o.order_id as credit_note_id
) as credit
cross join lateral (
  select case when not o.is_credit and (o.status is not null or o.cancelled_at is not null or o.refunded_amount > 0)
    then shop.order_steps(
      o.order_id, o.currency, o.total, <moment>, o.status, <cancelled>, o.refunded_amount, <refunded>
    )
  end as steps
  offset 0
) as life
""".replace("<price>", _PRICE).replace("<total>", f"({_TOTAL})")
for _place, _at in (("<moment>", "occurred_at"), ("<cancelled>", "cancelled_at"), ("<refunded>", "refunded_at")):
    _SELECT = _SELECT.replace(_place, MOMENT.replace("<at>", f"o.{_at}"))

TARGET = Target(
    name="orders",
    fields=(
        Field("order_id", Identifier(), True, ("InvoiceNo", "Invoice", "order", "order number", "basket_id")),
        Field("product_id", Identifier(), True, ("StockCode", "sku", "product", "item_id")),
        Field("product_name", Text(MAX_NAME), False, ("Description", "name", "product description", "title")),
        Field("category", Text(at_most=200), False, ("product_category", "department")),
        Field("quantity", _QUANTITY, True, ("qty", "units", "amount ordered")),
        Field(
            "ordered_at",
            Timestamp(of_event=True),
            True,
            ("InvoiceDate", "order date", "placed_at", "created_at", "date", "transaction_timestamp", "timestamp"),
        ),
        Field("unit_price", Number(), False, ("UnitPrice", "price", "item price")),
        Field("amount", Number(), False, ("line total", "sales_value", "line amount")),
        Field("customer_id", Identifier(), False, ("CustomerID", "customer", "client_id", "household_id")),
        Field("country", Text(at_most=100), False, ("ship country", "customer country")),
        Field("currency", Code(3), True, ("currency code",)),
        Field("status", Choice((*get_args(Status), "refunded")), False, ("order status",)),
        Field("cancelled_at", Timestamp(of_event=True), False, ("canceled_at", "cancellation date")),
        Field("refunded_amount", Number(), False, ("amount refunded", "refund amount")),
        Field("refunded_at", Timestamp(of_event=True), False, ("refund date",)),
    ),
    into=EventMapping(
        _SELECT,
        repeat="stream",
        by="order_id",
        amendment=Amendment(AMENDED, "shop.amend_order"),
        removed=(VOIDED, CREDIT_NOTE_VOIDED),
        holds="order",
    ),
    one_of=(("amount", "unit_price"),),
    variants={"credit_notes": {"quantity": _WITH_CREDIT_NOTES}},
    settings_defaults={"currency": CURRENCY},
    profiles=(
        _ONLINE_RETAIL,
        _COMPLETE_JOURNEY,
        shopify.ORDERS,
        woocommerce.ORDERS,
        etsy.ORDER_ITEMS,
        square.ITEMS,
        amazon.ORDERS,
        amazon.ALL_ORDERS,
        olist.ORDER_ITEMS,
    ),
)
