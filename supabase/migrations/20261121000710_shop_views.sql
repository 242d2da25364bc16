-- Materialized views: figures over all orders, as fresh as their last refresh.
-- Revenue is the total of orders whose status is `completed`; months begin in penstock.business_timezone().
-- Each has a plain unique index and is populated here, so that every refresh can be concurrent: readers never wait.
-- shop.months() is asked for once for a refresh, and each row looks its month up: a call for each would cost seconds.

create function shop.months(out months date[], out starts timestamptz[])
language sql stable
set search_path = ''
as $$
  select array_agg(m.month order by m.month), array_agg(penstock.day_start(m.month) order by m.month)
  from (
    select month.day::date as month
    from (
      select penstock.business_day(min(o.placed_at)) as first, penstock.business_day(max(o.placed_at)) as last
      from shop.orders as o
    ) as span
    cross join lateral generate_series(
      date_trunc('month', span.first::timestamp), span.last::timestamp, interval '1 month'
    ) as month (day)
  ) as m
$$;
comment on function shop.months() is
  'The months in which orders were placed, from the first to the last, and when each begins: months[width_bucket(placed_at, starts)].';
revoke execute on function shop.months() from public, anon, authenticated;
grant execute on function shop.months() to service_role, analyst;

create materialized view public.monthly_revenue as
select
  (select m.months from shop.months() as m)[width_bucket(o.placed_at, (select m.starts from shop.months() as m))] as month,
  count(*) as order_count,
  sum(o.total) as revenue,
  round(sum(o.total) / count(*), 6) as avg_order_value,
  count(distinct o.customer_id) as unique_customers
from shop.orders as o
where o.status = 'completed'
group by 1
with data;
create unique index monthly_revenue_month_key on public.monthly_revenue (month);
comment on materialized view public.monthly_revenue is
  'Completed orders by the month in which they were placed. Orders without a customer count as orders, not as customers.';
comment on column public.monthly_revenue.month is 'First day of the month, in penstock.business_timezone().';
comment on column public.monthly_revenue.order_count is 'Completed orders placed in the month.';
comment on column public.monthly_revenue.revenue is 'Sum of their totals.';
comment on column public.monthly_revenue.avg_order_value is 'revenue / order_count, to six places.';
comment on column public.monthly_revenue.unique_customers is 'Customers with at least one of these orders.';
revoke all on public.monthly_revenue from public, anon, authenticated, service_role;
grant select on public.monthly_revenue to service_role, analyst;

create materialized view public.user_cohorts as
with monthly as (
  select
    o.customer_id,
    (select m.months from shop.months() as m)[width_bucket(o.placed_at, (select m.starts from shop.months() as m))] as month,
    sum(o.total) as revenue
  from shop.orders as o
  where o.status = 'completed' and o.customer_id is not null
  group by 1, 2
),
counted as (
  select m.customer_id, m.month, m.revenue, min(m.month) over (partition by m.customer_id) as cohort_month
  from monthly as m
)
select
  c.cohort_month,
  (12 * (extract(year from c.month) - extract(year from c.cohort_month))
    + extract(month from c.month) - extract(month from c.cohort_month))::integer as months_since,
  count(*) as customers,
  sum(c.revenue) as revenue
from counted as c
group by 1, 2
with data;
create unique index user_cohorts_cohort_month_months_since_key on public.user_cohorts (cohort_month, months_since);
comment on materialized view public.user_cohorts is
  'Customers by the month of their first completed order: how many ordered again n months later, and for how much.';
comment on column public.user_cohorts.cohort_month is 'First day of the month of the customers'' first completed order.';
comment on column public.user_cohorts.months_since is 'Months from then to the month of the orders counted here; 0 is the first.';
comment on column public.user_cohorts.customers is 'Customers of the cohort who ordered in that month.';
comment on column public.user_cohorts.revenue is 'Sum of the totals of their completed orders in that month.';
revoke all on public.user_cohorts from public, anon, authenticated, service_role;
grant select on public.user_cohorts to service_role, analyst;

create materialized view public.product_performance as
with sold as (
  -- by order first: counting rows of this is cheaper than a distinct count over all lines
  select
    i.product_id, i.order_id, o.placed_at,
    max(i.name) as name, max(i.category) as category,
    sum(i.quantity) as units, sum(i.amount) as revenue
  from shop.order_items as i
  inner join shop.orders as o on o.order_id = i.order_id
  where o.status = 'completed'
  group by i.product_id, i.order_id, o.placed_at
)
select
  s.product_id,
  coalesce(max(p.name), max(s.name)) as product_name,
  coalesce(max(p.category), max(s.category), 'uncategorized') as category,
  sum(s.units)::bigint as units_sold,
  sum(s.revenue) as revenue,
  count(*) as order_count,
  max(s.placed_at) as last_sold_at
from sold as s
left join shop.products as p on p.product_id = s.product_id
group by s.product_id
with data;
create unique index product_performance_product_id_key on public.product_performance (product_id);
create index product_performance_revenue_product_id_idx on public.product_performance (revenue desc, product_id);
comment on materialized view public.product_performance is
  'What was sold of each product in completed orders. Name and category as listed, else as order lines give them.';
comment on column public.product_performance.product_id is 'The product: shop.products.product_id.';
comment on column public.product_performance.product_name is 'As listed, else as order lines give it.';
comment on column public.product_performance.category is 'As listed, else as order lines give it, else uncategorized.';
comment on column public.product_performance.units_sold is 'Pieces in completed orders.';
comment on column public.product_performance.revenue is 'Sum of the lines'' amounts in completed orders.';
comment on column public.product_performance.order_count is 'Completed orders with the product.';
comment on column public.product_performance.last_sold_at is 'When the latest of these orders was placed.';
revoke all on public.product_performance from public, anon, authenticated, service_role;
grant select on public.product_performance to service_role, analyst;

insert into ops.views (view, refreshed_at, duration_ms)
values ('monthly_revenue', now(), 0), ('user_cohorts', now(), 0), ('product_performance', now(), 0);

-- where there is pg_cron, give it the jobs of these views too
select ops.schedule_jobs() where exists (select from pg_catalog.pg_extension as e where e.extname = 'pg_cron');
