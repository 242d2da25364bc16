-- Daily figures: three SQL functions, one for each step of the nightly run, which pass a batch's id and nothing else.
--   staging.extract_daily     what the days consist of, materialised under the batch's id
--   staging.transform_daily   the figures of each day, beside it
--   staging.load_daily        into public.daily_analytics, by date
-- Each may run again with the same batch and ends the same. The days are arguments: nothing here asks what day it is.
-- An order belongs to the ops.business_day of the time at which it was placed.

create table public.daily_analytics (
  day date not null,
  order_count bigint not null,
  total_revenue numeric not null,
  avg_order_value numeric not null,
  new_users bigint not null,
  top_categories jsonb not null,
  conversion_rate numeric not null,
  placed_count bigint not null,
  computed_at timestamptz not null,
  constraint daily_analytics_pkey primary key (day)
);
comment on table public.daily_analytics is 'The figures of each day; a day without orders is a row of zeros. Written by the daily ETL alone.';
comment on column public.daily_analytics.order_count is 'Orders placed on that day whose status is `completed`.';
comment on column public.daily_analytics.total_revenue is 'The sum of their totals.';
comment on column public.daily_analytics.avg_order_value is 'total_revenue / order_count, to six places; 0 on a day without completed orders.';
comment on column public.daily_analytics.new_users is 'Customers whose first completed order was placed on that day.';
comment on column public.daily_analytics.top_categories is
  'The five categories with the highest revenue: [{"category", "revenue", "units"}]. A line''s category is its own, else its product''s, else `uncategorized`.';
comment on column public.daily_analytics.conversion_rate is
  'Completed orders / placed orders of that day, to six places; 0 on a day without orders. The store knows of no visits: a shop that records them may want another base.';
comment on column public.daily_analytics.computed_at is 'When the figures were extracted from the orders.';
alter table public.daily_analytics enable row level security;
create policy daily_analytics_read on public.daily_analytics for select to service_role, analyst using (true);
revoke all on public.daily_analytics from public, anon, authenticated, service_role;
grant select on public.daily_analytics to service_role, analyst;

create table staging.daily_batches (
  batch_id uuid not null,
  from_day date not null,
  to_day date not null,
  timezone text not null,
  extracted_at timestamptz not null,
  constraint daily_batches_pkey primary key (batch_id),
  constraint daily_batches_days_check check (from_day <= to_day and to_day - from_day < 36600)
);
comment on table staging.daily_batches is 'One run of the daily ETL: its days. Swept by a later extract, two days after.';

create table staging.daily_orders (
  batch_id uuid not null,
  order_id text not null,
  day date not null,
  customer_id text,
  completed boolean not null,
  total numeric not null,
  constraint daily_orders_pkey primary key (batch_id, order_id),
  constraint daily_orders_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_orders is 'The orders of a batch''s days, as they were when it was extracted.';

create table staging.daily_figures (
  batch_id uuid not null,
  day date not null,
  order_count bigint not null,
  total_revenue numeric not null,
  avg_order_value numeric not null,
  new_users bigint not null,
  top_categories jsonb not null,
  conversion_rate numeric not null,
  placed_count bigint not null,
  constraint daily_figures_pkey primary key (batch_id, day),
  constraint daily_figures_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_figures is 'The figures of a batch''s days, ready to be loaded.';

alter table staging.daily_batches enable row level security;
alter table staging.daily_orders enable row level security;
alter table staging.daily_figures enable row level security;
revoke all on staging.daily_batches, staging.daily_orders, staging.daily_figures from public, anon, authenticated;
grant select on staging.daily_batches, staging.daily_orders, staging.daily_figures to service_role;

create function staging.extract_daily(batch_id uuid, from_day date, to_day date) returns bigint
language plpgsql volatile
security definer
set search_path = ''
as $$
#variable_conflict use_variable
declare
  orders bigint;
begin
  if from_day is null or to_day is null or from_day > to_day or to_day - from_day >= 36600 then
    raise exception 'from_day % and to_day % are no span of at most 36,600 days', from_day, to_day using errcode = 'PK004';
  end if;
  delete from staging.daily_batches as b
  where b.batch_id = batch_id or b.extracted_at < clock_timestamp() - interval '2 days';
  insert into staging.daily_batches (batch_id, from_day, to_day, timezone, extracted_at)
  values (batch_id, from_day, to_day, ops.business_timezone(), clock_timestamp());

  insert into staging.daily_orders (batch_id, order_id, day, customer_id, completed, total)
  select batch_id, o.order_id, ops.business_day(o.placed_at), o.customer_id, o.status = 'completed', o.total
  from public.orders as o
  where o.placed_at >= (select ops.day_start(from_day)) and o.placed_at < (select ops.day_start(to_day + 1));
  get diagnostics orders = row_count;
  return orders;
end $$;
comment on function staging.extract_daily(uuid, date, date) is
  'Step 1 of the daily ETL: materialise the orders of the days, both included, under the batch''s id. Returns how many.';

create function staging.transform_daily(batch_id uuid) returns bigint
language plpgsql volatile
security definer
set search_path = ''
as $$
#variable_conflict use_variable
declare
  batch staging.daily_batches;
  days bigint;
begin
  select b.* into batch from staging.daily_batches as b where b.batch_id = batch_id for update;
  if not found then
    raise exception 'no batch % of the daily ETL has been extracted', batch_id using errcode = 'PK007';
  end if;
  delete from staging.daily_figures as f where f.batch_id = batch_id;

  with totals as (
    select
      o.day, count(*) as placed_count,
      count(*) filter (where o.completed) as order_count,
      coalesce(sum(o.total) filter (where o.completed), 0) as total_revenue
    from staging.daily_orders as o
    where o.batch_id = batch_id
    group by o.day
  ),
  first_orders as (
    select ops.business_day(min(o.placed_at)) as day
    from public.orders as o
    where o.status = 'completed'
      and o.customer_id in (select d.customer_id from staging.daily_orders as d where d.batch_id = batch_id and d.completed)
    group by o.customer_id
  ),
  newcomers as (
    select f.day, count(*) as new_users from first_orders as f group by f.day
  ),
  categories as (
    select
      o.day, coalesce(i.category, p.category, 'uncategorized') as category,
      sum(i.amount) as revenue, sum(i.quantity) as units
    from staging.daily_orders as o
    inner join public.order_items as i on i.order_id = o.order_id
    left join public.products as p on p.product_id = i.product_id
    where o.batch_id = batch_id and o.completed
    group by 1, 2
  ),
  ranked as (
    select c.*, row_number() over (partition by c.day order by c.revenue desc, c.category collate "C") as place
    from categories as c
  ),
  top as (
    select
      r.day,
      jsonb_agg(
        jsonb_build_object('category', r.category, 'revenue', r.revenue::text, 'units', r.units) order by r.place
      ) as top_categories
    from ranked as r
    where r.place <= 5
    group by r.day
  )
  insert into staging.daily_figures (
    batch_id, day, order_count, total_revenue, avg_order_value, new_users, top_categories, conversion_rate, placed_count
  )
  select
    batch_id, d.day,
    coalesce(t.order_count, 0), coalesce(t.total_revenue, 0),
    coalesce(round(t.total_revenue / nullif(t.order_count, 0), 6), 0),
    coalesce(n.new_users, 0), coalesce(top.top_categories, '[]'),
    coalesce(round(t.order_count::numeric / t.placed_count, 6), 0), coalesce(t.placed_count, 0)
  from (select batch.from_day + s.number as day from generate_series(0, batch.to_day - batch.from_day) as s (number)) as d
  left join totals as t on t.day = d.day
  left join newcomers as n on n.day = d.day
  left join top on top.day = d.day;
  get diagnostics days = row_count;
  return days;
end $$;
comment on function staging.transform_daily(uuid) is
  'Step 2 of the daily ETL: the figures of each day of the batch, days without orders included. Returns how many days.';

create function staging.load_daily(batch_id uuid) returns bigint
language plpgsql volatile
security definer
set search_path = ''
as $$
#variable_conflict use_variable
declare
  batch staging.daily_batches;
  days bigint;
begin
  select b.* into batch from staging.daily_batches as b where b.batch_id = batch_id for update;
  if not found or not exists (select from staging.daily_figures as f where f.batch_id = batch_id) then
    raise exception 'no batch % of the daily ETL has been transformed', batch_id using errcode = 'PK007';
  end if;

  insert into public.daily_analytics as a (
    day, order_count, total_revenue, avg_order_value, new_users, top_categories, conversion_rate, placed_count, computed_at
  )
  select
    f.day, f.order_count, f.total_revenue, f.avg_order_value, f.new_users, f.top_categories, f.conversion_rate,
    f.placed_count, batch.extracted_at
  from staging.daily_figures as f
  where f.batch_id = batch_id
  order by f.day
  on conflict on constraint daily_analytics_pkey do update set
    order_count = excluded.order_count, total_revenue = excluded.total_revenue,
    avg_order_value = excluded.avg_order_value, new_users = excluded.new_users,
    top_categories = excluded.top_categories, conversion_rate = excluded.conversion_rate,
    placed_count = excluded.placed_count, computed_at = excluded.computed_at
  -- an old batch that is run late must not put older figures over newer ones
  where a.computed_at <= excluded.computed_at;
  select count(*) into days from staging.daily_figures as f where f.batch_id = batch_id;
  return days;
end $$;
comment on function staging.load_daily(uuid) is
  'Step 3 of the daily ETL: put the batch''s figures into public.daily_analytics, by date. Returns how many days.';

revoke execute on function staging.extract_daily(uuid, date, date) from public, anon, authenticated;
revoke execute on function staging.transform_daily(uuid) from public, anon, authenticated;
revoke execute on function staging.load_daily(uuid) from public, anon, authenticated;
grant execute on function staging.extract_daily(uuid, date, date) to service_role;
grant execute on function staging.transform_daily(uuid) to service_role;
grant execute on function staging.load_daily(uuid) to service_role;
