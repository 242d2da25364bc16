"""Payments, one a line, as the payment provider exports them; each goes on with the stream of its order.

A payment is recognised by its id, so it counts once, in whatever file it comes again; the same id for another order or
of another amount is refused. Money given back is a refund whose id is the payment's, unless the file has one: exports
say all that was given back so far, so the largest amount holds, and an older file changes nothing.
An order that is not there is a reject: a payment before it would count in no figure. The file may be loaded again.
"""

from typing import Final

from penstock.ingest.files.parse.types import Code, Identifier, Number, Text, Timestamp
from penstock.ingest.files.target import MOMENT, EventMapping, Field, Target
from shop.orders.order import AMENDED, REFUNDED, VOIDED
from shop.profiles import stripe

_MONEY: Final = "case when scale(<amount>) <= 3 then round(<amount>, 3) else trim_scale(<amount>) end::text"

# Streams are read by the index, one by one; staged texts are collated as bytes, which the store's index is not.
_SELECT = """
with payments as (
  select
    r.ord, r.order_id, r.payment_id, r.amount, upper(r.currency) as currency, r.method, r.paid_at,
    coalesce(r.refund_id, r.payment_id) as refund_id,
    first_value(r.refunded_amount) over latest as refunded_amount,
    first_value(r.refunded_at) over latest as refunded_at,
    -- without the order: one payment pays one
    penstock.imported_event_id('order', '', 'PaymentReceived', 'epoch', r.payment_id) as id
  from {rows} as r
  window latest as (
    partition by r.payment_id, coalesce(r.refund_id, r.payment_id)
    order by r.refunded_amount desc nulls last, r.refunded_at nulls last, r.ord
  )
)
select
  p.ord as first_ord, 1::bigint as lines, 'order' as aggregate_type, p.order_id as aggregate_id, p.id,
  'PaymentReceived' as event_type, case when refund.payload is null then '{{}}' else array['<refunded>'] end as more,
  case when refund.payload is not null then array[jsonb_build_object(
    'payload', refund.payload, 'metadata', jsonb_build_object('occurred_at', refund.payload -> 'refunded_at'),
    'assumed', 'false', 'unless', refund.payload - 'refunded_at'
  )] end as more_details,
  1 as schema_version, p.paid_at as occurred_at, null::jsonb as metadata,
  -- an export with more columns or fewer says the same payment
  case when (known.payload ->> 'amount', known.payload ->> 'currency')
      is not distinct from (payment.payload ->> 'amount', payment.payload ->> 'currency')
    then known.payload else payment.payload
  end as payload
from payments as p
cross join lateral (
  select jsonb_strip_nulls(jsonb_build_object(
    'amount', <amount>, 'method', p.method, 'transaction_id', p.payment_id, 'currency', p.currency
  )) as payload
) as payment
left join lateral (
  select e.payload from public.event_store as e where e.id = p.id offset 0
) as known on true
left join lateral (
  select e.version, e.payload ->> 'currency' as currency
  from public.current_events as e
  where e.aggregate_id = p.order_id collate "default" and e.aggregate_type = 'order'
    and e.event_type in ('OrderPlaced', '<amended>', '<voided>')
  order by e.version desc
  limit 1
) as placed on p.refunded_amount > 0
left join lateral (
  select max(case
    when e.payload ->> 'amount' ~ '^[0-9]{{1,15}}([.][0-9]{{1,18}})?$' then (e.payload ->> 'amount')::numeric
  end) as amount
  from (
    select s.event_type, s.payload, s.version, max(s.version) filter (where s.event_type = '<voided>') over () as voided
    from public.event_store as s
    where s.aggregate_id = p.order_id collate "default" and s.aggregate_type = 'order' and p.refunded_amount > 0
    offset 0
  ) as e
  where e.event_type = '<refunded>' and e.payload ->> 'refund_id' = p.refund_id collate "default"
    and e.version > coalesce(e.voided, 0)
) as stored on p.refunded_amount > 0
left join lateral (
  select jsonb_build_object(
    'refund_id', p.refund_id, 'amount', <back>, 'currency', coalesce(p.currency, placed.currency, 'XXX'),
    'refunded_at', <moment>
  ) as payload
) as refund on p.refunded_amount > coalesce(stored.amount, 0)
"""
for _place, _text in (
    ("<amount>", _MONEY.replace("<amount>", "p.amount")),
    ("<back>", _MONEY.replace("<amount>", "p.refunded_amount")),
    ("<moment>", MOMENT.replace("<at>", "coalesce(p.refunded_at, p.paid_at)")),
    ("<amended>", AMENDED),
    ("<voided>", VOIDED),
    ("<refunded>", REFUNDED),
):
    _SELECT = _SELECT.replace(_place, _text)

TARGET = Target(
    name="payments",
    fields=(
        Field("payment_id", Identifier(), True, ("transaction_id", "charge_id", "payment reference")),
        Field("order_id", Identifier(), True, ("order number", "order_id (metadata)", "merchant reference")),
        Field("amount", Number(), True, ("amount paid", "payment amount")),
        Field(
            "paid_at",
            Timestamp(of_event=True),
            True,
            ("payment date", "date paid", "created (utc)", "created date (utc)"),
        ),
        Field("currency", Code(3), False, ("currency code", "currencycode")),
        Field("method", Text(at_most=100), False, ("payment method", "payment type", "card brand")),
        Field("refunded_amount", Number(), False, ("amount refunded", "refund amount")),
        Field("refunded_at", Timestamp(of_event=True), False, ("refund date", "refunded date", "refunded date (utc)")),
        Field("refund_id", Identifier(), False, ("refund reference",)),
    ),
    into=EventMapping(_SELECT, repeat="id", by="order_id", removed=(VOIDED,), needs="OrderPlaced"),
    profiles=(stripe.PAYMENTS,),
)
