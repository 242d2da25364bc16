"""What was given back: refunds of orders, and credit notes that name no order.

A refund counts where its order is: after its stream's `OrderPlaced`, until an `OrderVoided`. The customer is the
one that the order names at that place in the stream. A later refund or credit note of one id replaces the earlier.
"""

from typing import Final

from penstock.projections import payload_sql
from penstock.projections.projection import SqlProjection
from shop.orders.order import AGGREGATE_TYPE as ORDER
from shop.orders.order import AMENDED, REFUNDED
from shop.orders.order import VOIDED as ORDER_VOIDED
from shop.orders.projection import currency_of

AGGREGATE_TYPE: Final = "credit_note"
ISSUED: Final = "CreditNoteIssued"
VOIDED: Final = "CreditNoteVoided"

_VOIDS = f"""voids as materialized (
  select e.aggregate_type, e.aggregate_id, max(e.position) as position
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and ((e.aggregate_type = '{ORDER}' and e.event_type = '{ORDER_VOIDED}')
      or (e.aggregate_type = '{AGGREGATE_TYPE}' and e.event_type = '{VOIDED}'))
  group by 1, 2
)"""  # noqa: S608

# What the table would refuse is refused here: of a range only the last refund of an id is written.
_REFUND_ID = payload_sql.identifier("e.refund_id", "refund_id")
_AMOUNT = payload_sql.number("e.amount")
_AMOUNT = f"""case when {_AMOUNT} > 0 and {_AMOUNT} < 1e15 and scale({_AMOUNT}) <= 18 then {_AMOUNT}
      else ('not an amount: ' || coalesce(e.amount, 'nothing'))::numeric end"""
_PARTS = ",\n    ".join(
    f"""case when {number} >= 0 and {number} < 1e15 and scale({number}) <= 18 then {number}
      when e.{part} is null then 0 else ('not a part of an amount: ' || e.{part})::numeric end as {part}"""
    for part in ("tax", "shipping")
    for number in (payload_sql.number(f"e.{part}"),)
)
_CUSTOMER_ID = payload_sql.identifier("e.customer_id", "customer_id")


# All that is in the tables came before the range.
def _delete(table: str) -> str:
    return f"""
with {_VOIDS}
delete from {table} as r
where r.ctid = any (array(
  select f.place
  from voids as v
  cross join lateral (
    select f.ctid as place from {table} as f
    where f.aggregate_type = v.aggregate_type and f.aggregate_id = v.aggregate_id
    offset 0
  ) as f
))
"""  # noqa: S608


_ADD = f"""
with {_VOIDS},
given as materialized (
  select
    e.aggregate_type, e.aggregate_id, e.position, e.version, e.event_type,
    case
      when e.event_type = '{ISSUED}' then e.aggregate_id
      when length({_REFUND_ID}) > 200 then ('more than 200 characters: ' || left({_REFUND_ID}, 20))::numeric::text
      else {_REFUND_ID}
    end as refund_id,
    case when length({_CUSTOMER_ID}) <= 200 then {_CUSTOMER_ID} end as customer_id,
    e.currency, {_AMOUNT} as amount,
    {_PARTS},
    coalesce({payload_sql.time("e.given_at")}, {payload_sql.time("e.occurred_at")}, e.created_at) as refunded_at
  from (
    select
      e.aggregate_type, e.aggregate_id, e.position, e.version, e.event_type, e.created_at,
      e.metadata ->> 'occurred_at' as occurred_at, {currency_of("e.payload")} as currency,
      e.payload ->> 'tax' as tax, e.payload ->> 'shipping' as shipping,
      case e.event_type when '{ISSUED}' then e.payload ->> 'issued_at' else e.payload ->> 'refunded_at' end as given_at,
      case e.event_type when '{ISSUED}' then e.payload ->> 'total' else e.payload ->> 'amount' end as amount,
      e.payload -> 'refund_id' as refund_id,
      case when e.event_type = '{ISSUED}' then e.payload -> 'customer_id' end as customer_id
    from public.current_events as e
    where e.position > %(after)s and e.position <= %(upto)s
      and ((e.aggregate_type = '{ORDER}' and e.event_type = '{REFUNDED}')
        or (e.aggregate_type = '{AGGREGATE_TYPE}' and e.event_type = '{ISSUED}'))
    offset 0
  ) as e
),
refunded as (
  select distinct on (g.aggregate_type, g.aggregate_id, g.refund_id)
    g.aggregate_type, g.aggregate_id, g.refund_id, g.position, g.currency, g.amount, g.tax, g.shipping,
    g.refunded_at,
    case
      when g.event_type <> '{REFUNDED}' then g.customer_id
      when length(o.customer_id) <= 200 then o.customer_id
    end as customer_id
  from given as g
  left join voids as v on v.aggregate_type = g.aggregate_type and v.aggregate_id = g.aggregate_id
  -- stream by stream, by the index
  left join lateral (
    select e.event_type, e.payload ->> 'customer_id' as customer_id
    from public.current_events as e
    where e.aggregate_id = g.aggregate_id and e.aggregate_type = '{ORDER}' and e.version < g.version
      and e.event_type in ('OrderPlaced', '{AMENDED}', '{ORDER_VOIDED}')
    order by e.version desc
    limit 1
  ) as o on g.event_type = '{REFUNDED}'
  where g.refund_id is not null and (v.position is null or g.position > v.position)
    and (g.event_type = '{ISSUED}' or o.event_type in ('OrderPlaced', '{AMENDED}'))
  order by g.aggregate_type, g.aggregate_id, g.refund_id, g.position desc
),
written as (
  insert into refunds as r
    (aggregate_type, aggregate_id, refund_id, order_id, customer_id, currency, amount, tax, shipping, refunded_at,
     position)
  select
    g.aggregate_type, g.aggregate_id, g.refund_id, case g.aggregate_type when '{ORDER}' then g.aggregate_id end,
    g.customer_id, g.currency, g.amount, g.tax, g.shipping, g.refunded_at, g.position
  from refunded as g
  on conflict (aggregate_type, aggregate_id, refund_id) do update set
    customer_id = excluded.customer_id, currency = excluded.currency, amount = excluded.amount,
    tax = excluded.tax, shipping = excluded.shipping, refunded_at = excluded.refunded_at, position = excluded.position
)
select {payload_sql.all_read("given", "refund_id", "customer_id", "amount", "tax", "shipping", "refunded_at")}
"""  # noqa: S608

# The refunds that the range has written; `offset 0`: stream by stream, by the key.
_WRITTEN = f"""written as materialized (
  select e.position, e.event_type, e.items, r.aggregate_type, r.aggregate_id, r.refund_id
  from (
    select e.position, e.aggregate_type, e.aggregate_id, e.event_type, e.payload -> 'items' as items
    from public.current_events as e
    where e.position > %(after)s and e.position <= %(upto)s
      and ((e.aggregate_type = '{ORDER}' and e.event_type = '{REFUNDED}')
        or (e.aggregate_type = '{AGGREGATE_TYPE}' and e.event_type = '{ISSUED}'))
    offset 0
  ) as e
  left join lateral (
    select r.aggregate_type, r.aggregate_id, r.refund_id
    from refunds as r
    where r.aggregate_type = e.aggregate_type and r.aggregate_id = e.aggregate_id and r.position = e.position
    offset 0
  ) as r on true
)"""  # noqa: S608

# What they said before is there until now.
_DELETE_ITEMS = f"""
with {_WRITTEN}
delete from refund_items as i
where i.ctid = any (array(
  select f.place
  from written as w
  cross join lateral (
    select f.ctid as place from refund_items as f
    where f.aggregate_type = w.aggregate_type and f.aggregate_id = w.aggregate_id and f.refund_id = w.refund_id
    offset 0
  ) as f
))
"""  # noqa: S608

_PRODUCT_ID = payload_sql.identifier("item.value -> 'product_id'", "product_id")
_QUANTITY = payload_sql.whole_number("item.value ->> 'quantity'")
_LINE_AMOUNT = f"""coalesce(
      {payload_sql.number("item.value ->> 'amount'")},
      {_QUANTITY} * {payload_sql.number("item.value ->> 'unit_price'")}
    )"""
# As the table has it, also of a refund that is not written.
_ADD_ITEMS = f"""
with {_WRITTEN},
lines as materialized (
  select
    l.*,
    case when length(l.product_id) <= 200 and l.quantity is not null and abs(l.amount) < 1e25 and scale(l.amount) <= 18
      then true else ('not a line: ' || l.content)::boolean end as good
  from (
    select
      w.aggregate_type, w.aggregate_id, w.refund_id, item.ordinality as line, {_PRODUCT_ID} as product_id,
      {_QUANTITY} as quantity, {_LINE_AMOUNT} as amount, left(item.value::text, 100) as content,
      coalesce(item.value -> 'restock' = 'true', false) as restocked
    from written as w
    cross join lateral {payload_sql.elements("w.items")} as item
    offset 0
  ) as l
),
added as (
  insert into refund_items
    (aggregate_type, aggregate_id, refund_id, line, product_id, quantity, amount, restocked)
  select
    l.aggregate_type, l.aggregate_id, l.refund_id, l.line, l.product_id, l.quantity, l.amount, l.restocked
  from lines as l
  where l.refund_id is not null
)
select {payload_sql.all_read("lines", "good")}
"""  # noqa: S608

PROJECTION: Final = SqlProjection(
    name="refunds",
    tables=("shop.refunds", "shop.refund_items"),
    event_types=(REFUNDED, ORDER_VOIDED, ISSUED, VOIDED),
    statements=(_delete("refunds"), _delete("refund_items"), _ADD, _DELETE_ITEMS, _ADD_ITEMS),
)
