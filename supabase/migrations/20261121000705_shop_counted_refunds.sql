-- Which money given back is counted, said once for days, months, cohorts and products.

create view shop.counted_refunds with (security_invoker = true) as
select
  r.aggregate_type, r.aggregate_id, r.refund_id, r.currency, r.amount, r.tax, r.shipping, r.refunded_at,
  case when r.order_id is null then r.customer_id else o.customer_id end as customer_id
from shop.refunds as r
left join shop.orders as o on o.order_id = r.order_id
-- what an order gave back that is not in the revenue of any day is not taken from it
where r.order_id is null or o.status = 'completed';
comment on view shop.counted_refunds is
  'Credit notes, and the refunds of orders that are completed: what is taken from revenue, on its own day.';
comment on column shop.counted_refunds.aggregate_type is 'As in shop.refunds.';
comment on column shop.counted_refunds.aggregate_id is 'As in shop.refunds.';
comment on column shop.counted_refunds.refund_id is 'As in shop.refunds.';
comment on column shop.counted_refunds.currency is 'As in shop.refunds.';
comment on column shop.counted_refunds.amount is 'What was given back in all, as a positive number.';
comment on column shop.counted_refunds.tax is 'The part of it that was tax.';
comment on column shop.counted_refunds.shipping is 'The part of it that was shipping.';
comment on column shop.counted_refunds.refunded_at is 'When it happened.';
comment on column shop.counted_refunds.customer_id is 'The customer of the order as it is now; of a credit note the one that it names.';
revoke all on shop.counted_refunds from public, anon, authenticated, service_role;
grant select on shop.counted_refunds to service_role, analyst;
