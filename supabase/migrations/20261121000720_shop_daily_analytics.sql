-- The daily figures, and in `staging` what a run of the daily ETL makes them of: rows under a batch's id, which nothing
-- else reads and a later run sweeps. Both are written by the functions of …_shop_daily_etl.sql alone.

-- What a sum of the others is, Postgres computes: no row can say otherwise.
create table public.daily_analytics (
  day date not null,
  currency text not null,
  order_count bigint not null default 0,
  placed_count bigint not null default 0,
  total_revenue numeric not null default 0,
  avg_order_value numeric not null generated always as (coalesce(round(total_revenue / nullif(order_count, 0), 6), 0)) stored,
  gross_sales numeric not null default 0,
  discounts numeric not null default 0,
  shipping numeric not null default 0,
  tax numeric not null default 0,
  refunds numeric not null default 0,
  refunded_shipping numeric not null default 0,
  refunded_tax numeric not null default 0,
  net_revenue numeric not null generated always as (total_revenue - refunds) stored,
  net_sales numeric not null generated always as
    (total_revenue - shipping - tax - (refunds - refunded_shipping - refunded_tax)) stored,
  new_users bigint not null,
  first_time_buyers bigint not null default 0,
  conversion_rate numeric not null generated always as (coalesce(round(order_count::numeric / nullif(new_users, 0), 6), 0)) stored,
  completion_rate numeric not null generated always as (coalesce(round(order_count::numeric / nullif(placed_count, 0), 6), 0)) stored,
  top_categories jsonb not null default '[]',
  top_categories_by_revenue jsonb not null default '[]',
  computed_at timestamptz not null,
  constraint daily_analytics_pkey primary key (day, currency)
);
create index daily_analytics_currency_day_idx on public.daily_analytics (currency, day);
comment on table public.daily_analytics is
  'The figures of each day, a row for each currency that any order or refund has; a day without orders in one is a row of zeros. Written by the daily ETL alone. docs/figures.md defines each.';
comment on column public.daily_analytics.day is 'The day, in penstock.business_timezone().';
comment on column public.daily_analytics.currency is 'ISO 4217 code of all amounts of the row; XXX: the events name none, or there are none yet.';
comment on column public.daily_analytics.order_count is 'Orders placed on that day whose status is `completed`.';
comment on column public.daily_analytics.placed_count is 'Orders placed on that day, whatever became of them.';
comment on column public.daily_analytics.total_revenue is 'The sum of the totals of completed orders: with shipping and tax, less discounts.';
comment on column public.daily_analytics.avg_order_value is 'total_revenue / order_count, to six places; 0 on a day without completed orders.';
comment on column public.daily_analytics.gross_sales is 'What the lines of completed orders cost before discounts.';
comment on column public.daily_analytics.discounts is 'What was taken off completed orders, as a positive number.';
comment on column public.daily_analytics.shipping is 'Shipping charged on completed orders.';
comment on column public.daily_analytics.tax is 'Tax charged on completed orders, included in the prices or on top.';
comment on column public.daily_analytics.refunds is 'What was given back on that day, whenever the order was placed: credit notes, and refunds of orders that are completed.';
comment on column public.daily_analytics.refunded_shipping is 'The part of refunds that was shipping.';
comment on column public.daily_analytics.refunded_tax is 'The part of refunds that was tax.';
comment on column public.daily_analytics.net_revenue is 'total_revenue - refunds; below 0 on a day that gave back more.';
comment on column public.daily_analytics.net_sales is 'What the goods brought: net_revenue without shipping and tax, given back or kept.';
comment on column public.daily_analytics.new_users is
  'Customers registered on that day, and those known from orders alone whose first order was placed on it. Of the day: the same in the rows of all its currencies.';
comment on column public.daily_analytics.first_time_buyers is 'Customers whose first completed order, in any currency, is one of that day in this currency.';
comment on column public.daily_analytics.conversion_rate is 'order_count / new_users, to six places; 0 on a day without new users.';
comment on column public.daily_analytics.completion_rate is 'order_count / placed_count, to six places; 0 on a day without orders.';
comment on column public.daily_analytics.top_categories is
  'The five categories of which most pieces were sold in completed orders: [{"category", "revenue", "units"}], revenue being what the lines cost less their discounts. A line''s category is its own, else the one that its product had when the day was computed, else `uncategorized`.';
comment on column public.daily_analytics.top_categories_by_revenue is 'The same for the five with the highest revenue.';
comment on column public.daily_analytics.computed_at is 'When the figures were extracted from the orders.';
alter table public.daily_analytics enable row level security;
create policy daily_analytics_read on public.daily_analytics for select to service_role, analyst using (true);
revoke all on public.daily_analytics from public, anon, authenticated, service_role;
grant select on public.daily_analytics to service_role, analyst;

create table staging.daily_batches (
  batch_id uuid not null,
  extracted_at timestamptz not null,
  currencies text[] not null default '{}',
  transformed boolean not null default false,
  constraint daily_batches_pkey primary key (batch_id)
);
comment on table staging.daily_batches is 'One portion of a run of the daily ETL. Swept by a later extract, two days after.';
comment on column staging.daily_batches.currencies is 'Those of all orders and refunds there are, of any day, when it was extracted; XXX if there were none.';
comment on column staging.daily_batches.transformed is 'Whether its figures may be loaded.';
alter table staging.daily_batches enable row level security;
revoke all on staging.daily_batches from public, anon, authenticated, service_role;
grant select on staging.daily_batches to service_role;

create table staging.daily_days (
  batch_id uuid not null,
  day date not null,
  marks bigint[] not null,
  new_users bigint not null default 0,
  constraint daily_days_pkey primary key (batch_id, day),
  constraint daily_days_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_days is 'The days of a batch, each with the marks that it bore when the batch was opened.';
comment on column staging.daily_days.new_users is 'Registered customers and those known from orders alone who were new on the day, when it was extracted.';
alter table staging.daily_days enable row level security;
revoke all on staging.daily_days from public, anon, authenticated, service_role;
grant select on staging.daily_days to service_role;

create table staging.daily_orders (
  batch_id uuid not null,
  order_id text not null,
  day date not null,
  currency text not null,
  completed boolean not null,
  is_first boolean not null,
  total numeric not null,
  gross_sales numeric not null,
  discount numeric not null,
  shipping numeric not null,
  tax numeric not null,
  constraint daily_orders_pkey primary key (batch_id, order_id),
  constraint daily_orders_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_orders is 'The orders of a batch''s days, as they were when it was extracted.';
comment on column staging.daily_orders.is_first is 'Whether it is its customer''s first completed order; of two of one moment the one with the smaller id.';
alter table staging.daily_orders enable row level security;
revoke all on staging.daily_orders from public, anon, authenticated, service_role;
grant select on staging.daily_orders to service_role;

create table staging.daily_sales (
  batch_id uuid not null,
  day date not null,
  currency text not null,
  category text not null,
  revenue numeric not null,
  units bigint not null,
  constraint daily_sales_pkey primary key (batch_id, day, currency, category),
  constraint daily_sales_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_sales is 'What the lines of a batch''s completed orders came to when it was extracted, by day, currency and category: to copy each line would double the time of a backfill.';
comment on column staging.daily_sales.category is 'The line''s own, else the one that its product had, else `uncategorized`.';
alter table staging.daily_sales enable row level security;
revoke all on staging.daily_sales from public, anon, authenticated, service_role;
grant select on staging.daily_sales to service_role;

create table staging.daily_refunds (
  batch_id uuid not null,
  day date not null,
  currency text not null,
  amount numeric not null,
  shipping numeric not null,
  tax numeric not null,
  constraint daily_refunds_pkey primary key (batch_id, day, currency),
  constraint daily_refunds_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_refunds is 'What was given back on the days of a batch, as it was when it was extracted.';
alter table staging.daily_refunds enable row level security;
revoke all on staging.daily_refunds from public, anon, authenticated, service_role;
grant select on staging.daily_refunds to service_role;

create table staging.daily_figures (
  batch_id uuid not null,
  day date not null,
  currency text not null,
  order_count bigint not null,
  placed_count bigint not null,
  total_revenue numeric not null,
  gross_sales numeric not null,
  discounts numeric not null,
  shipping numeric not null,
  tax numeric not null,
  refunds numeric not null,
  refunded_shipping numeric not null,
  refunded_tax numeric not null,
  new_users bigint not null,
  first_time_buyers bigint not null,
  top_categories jsonb not null,
  top_categories_by_revenue jsonb not null,
  constraint daily_figures_pkey primary key (batch_id, day, currency),
  constraint daily_figures_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_figures is 'The figures of a batch''s days, of each of its currencies, ready to be loaded.';
alter table staging.daily_figures enable row level security;
revoke all on staging.daily_figures from public, anon, authenticated, service_role;
grant select on staging.daily_figures to service_role;

-- what the extract looks for
create index orders_currency_idx on shop.orders (currency);
create index refunds_currency_idx on shop.refunds (currency);
create index customers_registered_at_idx on shop.customers (registered_at);
