-- Materialized views: figures over all orders, as fresh as their last refresh.
-- Revenue is the total of orders whose status is `completed`; months begin in penstock.business_timezone().
-- Every sum is of one currency: `currency` is part of each key, and nothing adds two.
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
      select
        penstock.business_day(least((select min(o.placed_at) from shop.orders as o), (select min(r.refunded_at) from shop.refunds as r)))
          as first,
        penstock.business_day(greatest((select max(o.placed_at) from shop.orders as o), (select max(r.refunded_at) from shop.refunds as r)))
          as last
    ) as span
    cross join lateral generate_series(
      date_trunc('month', span.first::timestamp), span.last::timestamp, interval '1 month'
    ) as month (day)
  ) as m
$$;
comment on function shop.months() is
  'The months from the first order or refund to the last, and when each begins: months[width_bucket(placed_at, starts)].';
revoke execute on function shop.months() from public, anon, authenticated;
grant execute on function shop.months() to service_role, analyst;

create materialized view public.monthly_revenue as
with sold as (
  select
    (select m.months from shop.months() as m)[width_bucket(o.placed_at, (select m.starts from shop.months() as m))] as month,
    o.currency,
    count(*) as order_count,
    sum(o.total) as revenue,
    count(distinct o.customer_id) as unique_customers,
    sum(o.gross_sales) as gross_sales,
    sum(o.discount) as discounts,
    sum(o.shipping) as shipping,
    sum(o.tax) as tax
  from shop.orders as o
  where o.status = 'completed'
  group by 1, 2
),
given_back as (
  select
    (select m.months from shop.months() as m)[width_bucket(r.refunded_at, (select m.starts from shop.months() as m))] as month,
    r.currency,
    sum(r.amount) as refunds,
    sum(r.shipping) as refunded_shipping,
    sum(r.tax) as refunded_tax
  from shop.counted_refunds as r
  group by 1, 2
)
select
  coalesce(s.month, g.month) as month,
  coalesce(s.currency, g.currency) as currency,
  coalesce(s.order_count, 0) as order_count,
  coalesce(s.revenue, 0) as revenue,
  coalesce(round(s.revenue / s.order_count, 6), 0) as avg_order_value,
  coalesce(s.unique_customers, 0) as unique_customers,
  coalesce(s.gross_sales, 0) as gross_sales,
  coalesce(s.discounts, 0) as discounts,
  coalesce(s.shipping, 0) as shipping,
  coalesce(s.tax, 0) as tax,
  coalesce(g.refunds, 0) as refunds,
  coalesce(g.refunded_shipping, 0) as refunded_shipping,
  coalesce(g.refunded_tax, 0) as refunded_tax,
  coalesce(s.revenue, 0) - coalesce(g.refunds, 0) as net_revenue,
  coalesce(s.revenue - s.shipping - s.tax, 0) - coalesce(g.refunds - g.refunded_shipping - g.refunded_tax, 0) as net_sales
from sold as s
full join given_back as g on g.month = s.month and g.currency = s.currency
with data;
create unique index monthly_revenue_month_currency_key on public.monthly_revenue (month, currency);
comment on materialized view public.monthly_revenue is
  'Completed orders by the month in which they were placed, and what was given back in that month, by currency. Orders without a customer count as orders, not as customers.';
comment on column public.monthly_revenue.month is 'First day of the month, in penstock.business_timezone().';
comment on column public.monthly_revenue.currency is 'ISO 4217 code of all amounts of the row; XXX: the events name none.';
comment on column public.monthly_revenue.order_count is 'Completed orders placed in the month.';
comment on column public.monthly_revenue.revenue is 'Sum of their totals: with shipping and tax, less discounts.';
comment on column public.monthly_revenue.avg_order_value is 'revenue / order_count, to six places; 0 in a month without completed orders.';
comment on column public.monthly_revenue.unique_customers is 'Customers with at least one of these orders.';
comment on column public.monthly_revenue.gross_sales is 'What the lines of these orders cost before discounts.';
comment on column public.monthly_revenue.discounts is 'What was taken off, as a positive number.';
comment on column public.monthly_revenue.shipping is 'Shipping charged.';
comment on column public.monthly_revenue.tax is 'Tax charged, included in the prices or on top.';
comment on column public.monthly_revenue.refunds is 'What was given back in the month, whenever the order was placed: credit notes, and refunds of orders that are completed.';
comment on column public.monthly_revenue.refunded_shipping is 'The part of refunds that was shipping.';
comment on column public.monthly_revenue.refunded_tax is 'The part of refunds that was tax.';
comment on column public.monthly_revenue.net_revenue is 'revenue - refunds; below 0 in a month that gave back more.';
comment on column public.monthly_revenue.net_sales is 'What the goods brought: net_revenue without shipping and tax, given back or kept.';
revoke all on public.monthly_revenue from public, anon, authenticated, service_role;
grant select on public.monthly_revenue to service_role, analyst;

create materialized view public.user_cohorts as
with sold as (
  select
    o.customer_id,
    (select m.months from shop.months() as m)[width_bucket(o.placed_at, (select m.starts from shop.months() as m))] as month,
    o.currency,
    sum(o.total) as revenue
  from shop.orders as o
  where o.status = 'completed' and o.customer_id is not null
  group by 1, 2, 3
),
given_back as (
  select
    r.customer_id,
    (select m.months from shop.months() as m)[width_bucket(r.refunded_at, (select m.starts from shop.months() as m))] as month,
    r.currency,
    sum(r.amount) as refunds
  from shop.counted_refunds as r
  where r.customer_id is not null
  group by 1, 2, 3
),
monthly as (
  select s.customer_id, s.month, s.currency, 1 as customers, s.revenue, 0 as refunds from sold as s
  union all
  select g.customer_id, g.month, g.currency, 0, 0, g.refunds from given_back as g
),
counted as (
  select
    m.*,
    min(m.month) filter (where m.customers = 1) over (partition by m.customer_id) as cohort_month
  from monthly as m
)
select
  c.cohort_month,
  (12 * (extract(year from c.month) - extract(year from c.cohort_month))
    + extract(month from c.month) - extract(month from c.cohort_month))::integer as months_since,
  c.currency,
  sum(c.customers) as customers,
  sum(c.revenue) as revenue,
  sum(c.revenue - c.refunds) as net_revenue
from counted as c
where c.cohort_month is not null
group by 1, 2, 3
with data;
create unique index user_cohorts_cohort_month_months_since_currency_key
on public.user_cohorts (cohort_month, months_since, currency);
comment on materialized view public.user_cohorts is
  'Customers by the month of their first completed order in any currency: how many ordered again n months later, and for how much of each currency.';
comment on column public.user_cohorts.cohort_month is 'First day of the month of the customers'' first completed order.';
comment on column public.user_cohorts.months_since is 'Months from then to the month of the orders and refunds counted here; 0 is the first, and below 0 are credit notes of before.';
comment on column public.user_cohorts.currency is 'ISO 4217 code of the amounts; XXX: the events name none.';
comment on column public.user_cohorts.customers is 'Customers of the cohort who ordered in that month in this currency; 0 where they were only given money back.';
comment on column public.user_cohorts.revenue is 'Sum of the totals of their completed orders in that month.';
comment on column public.user_cohorts.net_revenue is 'revenue less what they were given back in that month; below 0 where that is more.';
revoke all on public.user_cohorts from public, anon, authenticated, service_role;
grant select on public.user_cohorts to service_role, analyst;

create materialized view public.product_performance as
with sold as (
  -- by order first: counting rows of this is cheaper than a distinct count over all lines
  select
    i.product_id, i.order_id, o.currency, o.placed_at,
    max(i.name) as name, max(i.category) as category,
    sum(i.quantity) as units, sum(i.amount) as gross_sales, sum(i.discount) as discounts
  from shop.order_items as i
  inner join shop.orders as o on o.order_id = i.order_id
  where o.status = 'completed'
  group by i.product_id, i.order_id, o.currency, o.placed_at
),
given_back as (
  select i.product_id, r.currency, sum(i.quantity) as units, sum(i.amount) as refunds
  from shop.refund_items as i
  inner join shop.counted_refunds as r
    on r.aggregate_type = i.aggregate_type and r.aggregate_id = i.aggregate_id and r.refund_id = i.refund_id
  group by i.product_id, r.currency
),
summed as (
  select
    s.product_id, s.currency, max(s.name) as name, max(s.category) as category, sum(s.units) as units,
    sum(s.gross_sales) as gross_sales, sum(s.discounts) as discounts, count(*) as order_count, max(s.placed_at) as last_sold_at
  from sold as s
  group by s.product_id, s.currency
)
select
  coalesce(s.product_id, g.product_id) as product_id,
  coalesce(s.currency, g.currency) as currency,
  coalesce(p.name, s.name) as product_name,
  coalesce(p.category, s.category, 'uncategorized') as category,
  coalesce(s.units, 0)::bigint as units_sold,
  coalesce(g.units, 0)::bigint as units_refunded,
  coalesce(s.gross_sales, 0) as gross_sales,
  coalesce(s.discounts, 0) as discounts,
  coalesce(s.gross_sales - s.discounts, 0) as revenue,
  coalesce(g.refunds, 0) as refunds,
  coalesce(s.gross_sales - s.discounts, 0) - coalesce(g.refunds, 0) as net_revenue,
  coalesce(s.order_count, 0) as order_count,
  s.last_sold_at
from summed as s
full join given_back as g on g.product_id = s.product_id and g.currency = s.currency
left join shop.products as p on p.product_id = coalesce(s.product_id, g.product_id)
with data;
create unique index product_performance_product_id_currency_key on public.product_performance (product_id, currency);
create index product_performance_currency_revenue_product_id_idx
on public.product_performance (currency, revenue desc, product_id);
comment on materialized view public.product_performance is
  'What was sold of each product in completed orders, and what was given back for it, by currency. Name and category as listed, else as order lines give them.';
comment on column public.product_performance.product_id is 'The product: shop.products.product_id.';
comment on column public.product_performance.currency is 'ISO 4217 code of all amounts of the row; XXX: the events name none.';
comment on column public.product_performance.product_name is 'As listed, else as order lines give it.';
comment on column public.product_performance.category is 'As listed, else as order lines give it, else uncategorized.';
comment on column public.product_performance.units_sold is 'Pieces in completed orders.';
comment on column public.product_performance.units_refunded is 'Pieces for which money was given back.';
comment on column public.product_performance.gross_sales is 'Sum of the lines'' amounts in completed orders, before discounts.';
comment on column public.product_performance.discounts is 'What was taken off these lines; discounts of whole orders are in no line.';
comment on column public.product_performance.revenue is 'gross_sales - discounts.';
comment on column public.product_performance.refunds is 'What was given back for these pieces, by the lines of refunds and credit notes.';
comment on column public.product_performance.net_revenue is 'revenue - refunds.';
comment on column public.product_performance.order_count is 'Completed orders with the product.';
comment on column public.product_performance.last_sold_at is 'When the latest of these orders was placed; null if there is none.';
revoke all on public.product_performance from public, anon, authenticated, service_role;
grant select on public.product_performance to service_role, analyst;

insert into ops.views (view, refreshed_at, duration_ms)
values ('monthly_revenue', now(), 0), ('user_cohorts', now(), 0), ('product_performance', now(), 0);

-- where there is pg_cron, give it the jobs of these views too
select ops.schedule_jobs() where exists (select from pg_catalog.pg_extension as e where e.extname = 'pg_cron');
