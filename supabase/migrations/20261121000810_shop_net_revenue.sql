-- What remains of each day's revenue: beside the daily figures, which stay what they are.

create view public.net_revenue_by_day with (security_invoker = true) as
with refunded as (
  select penstock.business_day(r.refunded_at) as day, sum(r.amount) as amount
  from shop.refunds as r
  left join shop.orders as o on o.order_id = r.order_id
  -- what an order gave back that is not in the revenue of any day is not taken from it
  where r.order_id is null or o.status = 'completed'
  group by 1
)
select
  coalesce(d.day, r.day) as day,
  coalesce(d.total_revenue, 0) as gross_revenue,
  coalesce(r.amount, 0) as refunds,
  coalesce(d.total_revenue, 0) - coalesce(r.amount, 0) as net_revenue
from public.daily_analytics as d
full join refunded as r on r.day = d.day;
comment on view public.net_revenue_by_day is
  'The revenue of each day, what was given back on that day, and what remains. As fresh as the daily figures and the projection `refunds`.';
comment on column public.net_revenue_by_day.day is 'The day, in penstock.business_timezone().';
comment on column public.net_revenue_by_day.gross_revenue is 'Totals of completed orders placed on that day: total_revenue of public.daily_analytics.';
comment on column public.net_revenue_by_day.refunds is 'What was given back on that day, whenever the order was placed: credit notes, and refunds of orders that are completed.';
comment on column public.net_revenue_by_day.net_revenue is 'gross_revenue - refunds; below 0 on a day that gave back more.';
revoke all on public.net_revenue_by_day from public, anon, authenticated, service_role;
grant select on public.net_revenue_by_day to service_role, analyst;
