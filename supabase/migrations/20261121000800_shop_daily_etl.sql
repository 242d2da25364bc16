-- Daily figures: SQL functions for the three steps of the nightly run, which pass a batch's id and nothing else.
--   shop.find_due_days     the days that are due, for a run to ask once
--   shop.extract_daily     what days consist of, materialised under the batch's id
--   shop.transform_daily   the figures of each day, from the batch alone
--   shop.load_daily        into public.daily_analytics, by date
-- Each step may run again with the same batch and ends the same. The days are arguments: nothing here asks what day it is.
-- An order belongs to the penstock.business_day of the time at which it was placed.
-- `security definer`: the figures and what is staged for them are written by these functions alone.
-- No change is lost between a run and what happens meanwhile: a batch takes the marks of its days (ops.due_days) before it
-- reads the orders, and when it is loaded only those very marks go.

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
comment on column public.daily_analytics.day is 'The day, in penstock.business_timezone().';
comment on column public.daily_analytics.order_count is 'Orders placed on that day whose status is `completed`.';
comment on column public.daily_analytics.total_revenue is 'The sum of their totals.';
comment on column public.daily_analytics.avg_order_value is 'total_revenue / order_count, to six places; 0 on a day without completed orders.';
comment on column public.daily_analytics.new_users is 'Customers whose first completed order was placed on that day.';
comment on column public.daily_analytics.top_categories is
  'The five categories with the highest revenue: [{"category", "revenue", "units"}]. A line''s category is its own, else the one that its product had when the day was computed, else `uncategorized`.';
comment on column public.daily_analytics.conversion_rate is
  'Completed orders / placed orders of that day, to six places; 0 on a day without orders. The store knows of no visits: a shop that records them may want another base.';
comment on column public.daily_analytics.placed_count is 'Orders placed on that day, whatever became of them.';
comment on column public.daily_analytics.computed_at is 'When the figures were extracted from the orders.';
alter table public.daily_analytics enable row level security;
create policy daily_analytics_read on public.daily_analytics for select to service_role, analyst using (true);
revoke all on public.daily_analytics from public, anon, authenticated, service_role;
grant select on public.daily_analytics to service_role, analyst;

create table staging.daily_batches (
  batch_id uuid not null,
  extracted_at timestamptz not null,
  constraint daily_batches_pkey primary key (batch_id)
);
comment on table staging.daily_batches is 'One portion of a run of the daily ETL. Swept by a later extract, two days after.';
alter table staging.daily_batches enable row level security;
revoke all on staging.daily_batches from public, anon, authenticated, service_role;
grant select on staging.daily_batches to service_role;

create table staging.daily_days (
  batch_id uuid not null,
  day date not null,
  mark bigint,
  constraint daily_days_pkey primary key (batch_id, day),
  constraint daily_days_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_days is 'The days of a batch, each with the mark that it bore when the batch was extracted.';
alter table staging.daily_days enable row level security;
revoke all on staging.daily_days from public, anon, authenticated, service_role;
grant select on staging.daily_days to service_role;

create table staging.daily_orders (
  batch_id uuid not null,
  order_id text not null,
  day date not null,
  customer_id text,
  completed boolean not null,
  is_first boolean not null,
  total numeric not null,
  placed_at timestamptz not null,
  constraint daily_orders_pkey primary key (batch_id, order_id),
  constraint daily_orders_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_orders is 'The orders of a batch''s days, as they were when it was extracted.';
comment on column staging.daily_orders.is_first is 'Whether it is completed and its customer had no completed order before it.';
alter table staging.daily_orders enable row level security;
revoke all on staging.daily_orders from public, anon, authenticated, service_role;
grant select on staging.daily_orders to service_role;

create table staging.daily_sales (
  batch_id uuid not null,
  day date not null,
  category text not null,
  revenue numeric not null,
  units bigint not null,
  constraint daily_sales_pkey primary key (batch_id, day, category),
  constraint daily_sales_batch_id_fkey foreign key (batch_id) references staging.daily_batches (batch_id) on delete cascade
);
comment on table staging.daily_sales is 'What the lines of a batch''s completed orders came to when it was extracted, by day and category: to copy each line would double the time of a backfill.';
comment on column staging.daily_sales.category is 'The line''s own, else the one that its product had, else `uncategorized`.';
alter table staging.daily_sales enable row level security;
revoke all on staging.daily_sales from public, anon, authenticated, service_role;
grant select on staging.daily_sales to service_role;

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
alter table staging.daily_figures enable row level security;
revoke all on staging.daily_figures from public, anon, authenticated, service_role;
grant select on staging.daily_figures to service_role;

-- One extract at a time: the later its `extracted_at`, the newer are the orders that it reads.
create function shop.open_daily_batch(batch_id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
#variable_conflict use_variable
begin
  lock table staging.daily_batches in share row exclusive mode;
  delete from staging.daily_batches as b
  where b.batch_id = batch_id or b.extracted_at < clock_timestamp() - interval '2 days';
  insert into staging.daily_batches (batch_id, extracted_at) values (batch_id, clock_timestamp());
end $$;
comment on function shop.open_daily_batch(uuid) is 'Begin a batch without days, in place of one of the same id.';
revoke execute on function shop.open_daily_batch(uuid) from public, anon, authenticated;

create function shop.find_due_days(today date, overlap_days integer, marked_only boolean) returns setof date
language sql stable
security definer
set search_path = ''
set jit = off
as $$
  with first as (
    select penstock.business_day(min(o.placed_at)) as day from shop.orders as o
  ),
  due as (
    select m.day from ops.due_days as m
    union
    select today - 1 - s.number from generate_series(0, overlap_days) as s (number) where not marked_only
    union
    select f.day + s.number
    from first as f
    cross join lateral generate_series(0, today - 1 - f.day) as s (number)
    where not marked_only
      and not exists (select from public.daily_analytics as a where a.day = f.day + s.number)
  )
  select d.day from due as d where d.day < today order by d.day desc
$$;
comment on function shop.find_due_days(date, integer, boolean) is
  'The days that are due before `today`, the newest first: those that are marked and, unless `marked_only`, yesterday and `overlap_days` before it, and every day since the first order that was never computed.';
revoke execute on function shop.find_due_days(date, integer, boolean) from public, anon, authenticated;
grant execute on function shop.find_due_days(date, integer, boolean) to service_role;

-- The marks are taken in a statement before the one that reads the orders: what commits between them leaves a newer mark.
-- The orders, the sales and who is new come from one look. For each day a scan of the index of `orders`, for each order
-- a probe of its lines: few days far apart must not cost a look at all orders between them.
create function shop.extract_daily(batch_id uuid, days date[]) returns bigint
language plpgsql volatile
security definer
set search_path = ''
set jit = off
set enable_seqscan = off
set enable_nestloop = on
as $$
#variable_conflict use_variable
declare
  orders bigint;
begin
  if days is null or cardinality(days) > 36600 then
    raise exception 'a batch must be of at most 36,600 days, not %', cardinality(days) using errcode = 'PK004';
  end if;
  perform shop.open_daily_batch(batch_id);
  insert into staging.daily_days (batch_id, day, mark)
  select batch_id, d.day, m.mark
  from (select distinct u.day from unnest(days) as u (day)) as d
  left join ops.due_days as m on m.day = d.day;

  with bounds as materialized (
    select d.day, penstock.day_start(d.day) as begins, penstock.day_start(d.day + 1) as ends
    from staging.daily_days as d
    where d.batch_id = batch_id
  ),
  found as materialized (
    select b.day, o.order_id, o.customer_id, o.status = 'completed' as completed, o.total, o.placed_at
    from bounds as b
    cross join lateral (
      select o.* from shop.orders as o where o.placed_at >= b.begins and o.placed_at < b.ends offset 0
    ) as o
  ),
  buyers as (
    select f.customer_id, min(f.placed_at) as first_at
    from found as f
    where f.completed and f.customer_id is not null
    group by f.customer_id
  ),
  newcomers as (
    select b.customer_id, b.first_at
    from buyers as b
    where (
      select true
      from shop.orders as o
      where o.customer_id = b.customer_id and o.status = 'completed' and o.placed_at < b.first_at
      limit 1
    ) is null
  ),
  extracted_orders as (
    insert into staging.daily_orders (batch_id, order_id, day, customer_id, completed, is_first, total, placed_at)
    select
      batch_id, f.order_id, f.day, f.customer_id, f.completed,
      f.completed and n.first_at is not null and f.placed_at = n.first_at, f.total, f.placed_at
    from found as f
    left join newcomers as n on n.customer_id = f.customer_id
  ),
  extracted_sales as (
    insert into staging.daily_sales (batch_id, day, category, revenue, units)
    select batch_id, f.day, coalesce(i.category, p.category, 'uncategorized'), sum(i.amount), sum(i.quantity)
    from found as f
    cross join lateral (select i.* from shop.order_items as i where i.order_id = f.order_id offset 0) as i
    left join shop.products as p on p.product_id = i.product_id
    where f.completed
    group by 2, 3
  )
  select count(*) into orders from found;
  return orders;
end $$;
comment on function shop.extract_daily(uuid, date[]) is
  'Step 1 of the daily ETL: materialise what the days consist of under the batch''s id: their orders, which of them are a customer''s first, and the sales of each category. Returns how many orders.';
revoke execute on function shop.extract_daily(uuid, date[]) from public, anon, authenticated;
grant execute on function shop.extract_daily(uuid, date[]) to service_role;

create function shop.transform_daily(batch_id uuid) returns bigint
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
#variable_conflict use_variable
declare
  days bigint;
begin
  perform from staging.daily_batches as b where b.batch_id = batch_id for update;
  if not found then
    raise exception 'no batch % of the daily ETL has been extracted', batch_id using errcode = 'PK007';
  end if;
  delete from staging.daily_figures as f where f.batch_id = batch_id;

  with totals as (
    select
      o.day, count(*) as placed_count,
      count(*) filter (where o.completed) as order_count,
      coalesce(sum(o.total) filter (where o.completed), 0) as total_revenue,
      -- two first orders of one moment are one customer
      count(distinct o.customer_id) filter (where o.is_first) as new_users
    from staging.daily_orders as o
    where o.batch_id = batch_id
    group by o.day
  ),
  ranked as (
    select s.*, row_number() over (partition by s.day order by s.revenue desc, s.category collate "C") as place
    from staging.daily_sales as s
    where s.batch_id = batch_id
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
    coalesce(t.new_users, 0), coalesce(top.top_categories, '[]'),
    coalesce(round(t.order_count::numeric / t.placed_count, 6), 0), coalesce(t.placed_count, 0)
  from staging.daily_days as d
  left join totals as t on t.day = d.day
  left join top on top.day = d.day
  where d.batch_id = batch_id;
  get diagnostics days = row_count;
  return days;
end $$;
comment on function shop.transform_daily(uuid) is
  'Step 2 of the daily ETL: the figures of each day of the batch, from what was extracted alone, days without orders included. Returns how many days.';
revoke execute on function shop.transform_daily(uuid) from public, anon, authenticated;
grant execute on function shop.transform_daily(uuid) to service_role;

create function shop.load_daily(batch_id uuid) returns bigint
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
#variable_conflict use_variable
declare
  batch staging.daily_batches;
  days bigint;
begin
  select b.* into batch from staging.daily_batches as b where b.batch_id = batch_id for update;
  if not found or exists (
    select from staging.daily_days as d
    where d.batch_id = batch_id
      and not exists (select from staging.daily_figures as f where f.batch_id = batch_id and f.day = d.day)
  ) then
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
  -- A mark that somebody holds is about to become another one: it stays, and nobody waits in a circle.
  delete from ops.due_days as m
  where m.day in (
    select n.day
    from ops.due_days as n
    inner join staging.daily_days as d on d.day = n.day and d.mark = n.mark
    where d.batch_id = batch_id
    for update of n skip locked
  );
  select count(*) into days from staging.daily_figures as f where f.batch_id = batch_id;
  return days;
end $$;
comment on function shop.load_daily(uuid) is
  'Step 3 of the daily ETL: put the batch''s figures into public.daily_analytics, by date, and take away the marks that it has seen. Returns how many days.';
revoke execute on function shop.load_daily(uuid) from public, anon, authenticated;
grant execute on function shop.load_daily(uuid) to service_role;

-- `security definer`, because a role that may set the zone need not have any right to the marks.
create function shop.mark_all_days() returns trigger
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  insert into ops.due_days (day) select a.day from public.daily_analytics as a order by a.day
  on conflict on constraint due_days_pkey do update set mark = excluded.mark;
  return null;
end $$;
comment on function shop.mark_all_days() is 'Mark every day that has figures: in another zone each consists of other orders.';
revoke execute on function shop.mark_all_days() from public, anon, authenticated;
create trigger configuration_mark_all_days after update on penstock.configuration
for each row when (old.timezone is distinct from new.timezone) execute function shop.mark_all_days();
