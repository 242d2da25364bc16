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
_CUSTOMER_ID = payload_sql.identifier("e.customer_id", "customer_id")

# All that is in the table came before the range.
_DELETE = f"""
with {_VOIDS}
delete from refunds as r
where r.ctid = any (array(
  select f.place
  from voids as v
  cross join lateral (
    select f.ctid as place from refunds as f
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
    coalesce({payload_sql.time("e.given_at")}, {payload_sql.time("e.occurred_at")}, e.created_at) as refunded_at
  from (
    select
      e.aggregate_type, e.aggregate_id, e.position, e.version, e.event_type, e.created_at,
      e.metadata ->> 'occurred_at' as occurred_at, nullif(e.payload ->> 'currency', '') as currency,
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
    g.aggregate_type, g.aggregate_id, g.refund_id, g.position, g.currency, g.amount, g.refunded_at,
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
    (aggregate_type, aggregate_id, refund_id, order_id, customer_id, currency, amount, refunded_at, position)
  select
    g.aggregate_type, g.aggregate_id, g.refund_id, case g.aggregate_type when '{ORDER}' then g.aggregate_id end,
    g.customer_id, g.currency, g.amount, g.refunded_at, g.position
  from refunded as g
  on conflict (aggregate_type, aggregate_id, refund_id) do update set
    customer_id = excluded.customer_id, currency = excluded.currency, amount = excluded.amount,
    refunded_at = excluded.refunded_at, position = excluded.position
)
select {payload_sql.all_read("given", "refund_id", "customer_id", "amount", "refunded_at")}
"""  # noqa: S608

PROJECTION: Final = SqlProjection(
    name="refunds",
    tables=("shop.refunds",),
    event_types=(REFUNDED, ORDER_VOIDED, ISSUED, VOIDED),
    statements=(_DELETE, _ADD),
)
