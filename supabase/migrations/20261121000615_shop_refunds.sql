-- What was given back: the read model of the projection `refunds`, and the events of an order of which a file says how
-- far it came.

create table shop.refunds (
  aggregate_type text not null,
  aggregate_id text not null,
  refund_id text not null,
  order_id text,
  customer_id text,
  currency text not null,
  amount numeric not null,
  tax numeric not null default 0,
  shipping numeric not null default 0,
  refunded_at timestamptz not null,
  position bigint not null,
  constraint refunds_pkey primary key (aggregate_type, aggregate_id, refund_id),
  constraint refunds_refund_id_check check (length(refund_id) <= 200),
  constraint refunds_customer_id_check check (length(customer_id) <= 200),
  constraint refunds_currency_check check (currency ~ '^[A-Z]{3}$'),
  constraint refunds_amount_check check (amount > 0 and amount < 1e15 and scale(amount) <= 18),
  constraint refunds_tax_check check (tax >= 0 and tax < 1e15 and scale(tax) <= 18),
  constraint refunds_shipping_check check (shipping >= 0 and shipping < 1e15 and scale(shipping) <= 18)
);
create index refunds_refunded_at_idx on shop.refunds (refunded_at);
create index refunds_order_id_idx on shop.refunds (order_id);
comment on table shop.refunds is 'One row a refund of an order, or a credit note that names no order. Filled by the projection `refunds`.';
comment on column shop.refunds.aggregate_type is 'First part of the stream''s name: `order`, or `credit_note`.';
comment on column shop.refunds.aggregate_id is 'Second part of the stream''s name: the id of the order or of the credit note.';
comment on column shop.refunds.refund_id is 'The refund''s id within its order; of a credit note its id.';
comment on column shop.refunds.order_id is 'The order: shop.orders.order_id. Null for a credit note.';
comment on column shop.refunds.customer_id is 'Who got the money, as the order named the customer then, or as the credit note does; null if they name nobody.';
comment on column shop.refunds.currency is 'ISO 4217 code; `XXX`, which is that standard''s code for no currency, if the event names none.';
comment on column shop.refunds.amount is 'What was given back, as a positive number: all of it, with tax and shipping.';
comment on column shop.refunds.tax is 'The part of the amount that was tax.';
comment on column shop.refunds.shipping is 'The part of the amount that had been paid for shipping.';
comment on column shop.refunds.refunded_at is 'When it happened, not when it was stored. The figures of a day go by it.';
comment on column shop.refunds.position is 'Position of the event that says so.';
alter table shop.refunds enable row level security;
create policy refunds_read on shop.refunds for select to service_role, analyst using (true);
revoke all on shop.refunds from public, anon, authenticated, service_role;
grant select on shop.refunds to service_role, analyst;

create table shop.refund_items (
  aggregate_type text not null,
  aggregate_id text not null,
  refund_id text not null,
  line integer not null,
  product_id text not null,
  quantity integer not null,
  amount numeric not null,
  restocked boolean not null default false,
  constraint refund_items_pkey primary key (aggregate_type, aggregate_id, refund_id, line),
  constraint refund_items_product_id_check check (product_id <> '' and length(product_id) <= 200),
  constraint refund_items_amount_check check (abs(amount) < 1e25 and scale(amount) <= 18)
);
create index refund_items_product_id_idx on shop.refund_items (product_id);
comment on table shop.refund_items is 'The lines of refunds and credit notes that name products, numbered from 1 in the order of the event. Filled by the projection `refunds`.';
comment on column shop.refund_items.aggregate_type is 'As in shop.refunds.';
comment on column shop.refund_items.aggregate_id is 'As in shop.refunds.';
comment on column shop.refund_items.refund_id is 'As in shop.refunds.';
comment on column shop.refund_items.line is 'Number of the line in the refund, from 1.';
comment on column shop.refund_items.product_id is 'The product: shop.products.product_id.';
comment on column shop.refund_items.quantity is 'Pieces that were refunded; 0 where money was given back for pieces that the customer keeps.';
comment on column shop.refund_items.amount is 'What was given back for them.';
comment on column shop.refund_items.restocked is 'Whether the pieces went back on the shelf.';
alter table shop.refund_items enable row level security;
create policy refund_items_read on shop.refund_items for select to service_role, analyst using (true);
revoke all on shop.refund_items from public, anon, authenticated, service_role;
grant select on shop.refund_items to service_role, analyst;

-- Called for the orders of which a file says a status, a cancellation or a refund. Times are text, as payloads have them.
create function shop.order_steps(
  order_id text, currency text, total text, placed_at text,
  status text, cancelled_at text, refunded_amount numeric, refunded_at text
)
returns jsonb[]
language sql immutable parallel safe
set search_path = ''
as $$
  with said as (
    select
      case when order_steps.cancelled_at is not null then 'cancelled' else coalesce(order_steps.status, 'completed') end as status,
      case when order_steps.cancelled_at is null and order_steps.status is null then 'true' else 'false' end as assumed,
      coalesce(order_steps.cancelled_at, order_steps.placed_at) as cancelled_at,
      coalesce(order_steps.refunded_at, order_steps.cancelled_at, order_steps.placed_at) as refunded_at,
      coalesce(
        order_steps.refunded_amount, case when order_steps.status = 'refunded' then order_steps.total::numeric end, 0
      ) as refunded
  ), refund as (
    select jsonb_build_object(
      'refund_id', order_steps.order_id, 'currency', order_steps.currency,
      'amount', case when scale(s.refunded) <= 3 then round(s.refunded, 3) else trim_scale(s.refunded) end::text
    ) as content
    from said as s
  )
  select coalesce(array_agg(
    jsonb_build_object(
      'type', t.event_type, 'assumed', t.assumed, 'payload', t.payload, 'unless', t.unless,
      'since', case t.event_type when 'OrderCompleted' then 'OrderCancelled' when 'OrderCancelled' then 'OrderCompleted' end,
      'metadata', jsonb_build_object('occurred_at', t.at)
    ) order by t.place
  ), '{}')
  from said as s
  cross join refund as r
  cross join lateral (
    values
      (1, s.status in ('paid', 'shipped', 'delivered'), 'PaymentReceived', s.assumed,
        jsonb_build_object('amount', order_steps.total), jsonb '{}', order_steps.placed_at),
      (2, s.status in ('shipped', 'delivered'), 'OrderShipped', s.assumed, '{}', '{}', order_steps.placed_at),
      (3, s.status = 'delivered', 'OrderDelivered', s.assumed, '{}', '{}', order_steps.placed_at),
      (4, s.status in ('completed', 'refunded'), 'OrderCompleted', s.assumed, '{}', '{}', order_steps.placed_at),
      (5, s.status = 'cancelled', 'OrderCancelled', s.assumed, '{}', '{}', s.cancelled_at),
      (6, s.refunded > 0, 'OrderRefunded', 'false', r.content || jsonb_build_object('refunded_at', s.refunded_at), r.content, s.refunded_at)
  ) as t (place, happened, event_type, assumed, payload, unless, at)
  where t.happened
$$;
comment on function shop.order_steps(text, text, text, text, text, text, numeric, text) is
  'The further events of an order as a file says it: `type`, and the details that an import''s `more_details` takes. Without a status it is completed, which is assumed.';
revoke execute on function shop.order_steps(text, text, text, text, text, text, numeric, text) from public, anon, authenticated;
grant execute on function shop.order_steps(text, text, text, text, text, text, numeric, text) to service_role;
