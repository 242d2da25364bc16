-- Daily figures: SQL functions for the three steps of the nightly run, which pass a batch's id and nothing else.
--   shop.find_due_days     the days that are due, for a run to ask once
--   shop.open_daily_batch, shop.extract_daily   what days consist of, materialised under the batch's id
--   shop.transform_daily   the figures of each day, from the batch alone
--   shop.load_daily        into public.daily_analytics, by day and currency
-- Each step may run again with the same batch and ends the same. The days are arguments: nothing here asks what day it is.
-- An order belongs to the penstock.business_day of the time at which it was placed, a refund to that of its own time.
-- `security definer`: the figures and what is staged for them are written by these functions alone.
-- No change is lost between a run and what happens meanwhile: a batch takes the marks of its days (ops.due_days) before
-- the projections are brought up to date and the orders read, and when it is loaded only those very marks go.

-- A few index probes, however many orders there are.
create function shop.currencies() returns setof text
language sql stable
set search_path = ''
set jit = off
set enable_seqscan = off
as $$
  with recursive sold as (
    select (select min(o.currency) from shop.orders as o) as currency
    union all
    select (select min(o.currency) from shop.orders as o where o.currency > s.currency)
    from sold as s
    where s.currency is not null
  ),
  given_back as (
    select (select min(r.currency) from shop.refunds as r) as currency
    union all
    select (select min(r.currency) from shop.refunds as r where r.currency > g.currency)
    from given_back as g
    where g.currency is not null
  )
  select s.currency from sold as s where s.currency is not null
  union
  select g.currency from given_back as g where g.currency is not null
$$;
comment on function shop.currencies() is 'The currencies that any order or refund has.';
revoke execute on function shop.currencies() from public, anon, authenticated;
grant execute on function shop.currencies() to service_role, analyst;

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

-- The marks are taken before the projections are brought up to date, in a transaction of its own. A projection that is
-- at work marks by what it sees: a completed order the days of its refunds, a registration the day of the first order.
-- What it did not see, since another projection was at work too, was marked by that one; and a run that takes that mark
-- here reads only after both have committed.
create function shop.open_daily_batch(batch_id uuid, days date[]) returns void
language plpgsql volatile
security definer
set search_path = ''
as $$
#variable_conflict use_variable
begin
  if days is null or cardinality(days) > 36600 then
    raise exception 'a batch must be of at most 36,600 days, not %', cardinality(days) using errcode = 'PK004';
  end if;
  delete from staging.daily_batches as b
  where b.batch_id = batch_id or b.extracted_at < clock_timestamp() - interval '2 days';
  insert into staging.daily_batches (batch_id, extracted_at) values (batch_id, clock_timestamp());
  insert into staging.daily_days (batch_id, day, marks)
  select batch_id, d.day, array(select m.mark from ops.due_days as m where m.day = d.day)
  from (select distinct u.day from unnest(days) as u (day)) as d;
end $$;
comment on function shop.open_daily_batch(uuid, date[]) is
  'Begin a batch of these days, in place of one of the same id, with the marks that they bear. Bring the projections up to date after it.';
revoke execute on function shop.open_daily_batch(uuid, date[]) from public, anon, authenticated;
grant execute on function shop.open_daily_batch(uuid, date[]) to service_role;

-- Orders, sales, refunds and who is new come from one look. For each day a scan of an index, for each order
-- a probe of its lines: few days far apart must not cost a look at all orders between them. What was found is ranked,
-- not joined with itself: the planner takes it for a handful of rows.
create function shop.extract_daily(batch_id uuid) returns bigint
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
  -- One extract at a time: the later its `extracted_at`, the newer are the orders that it reads.
  lock table staging.daily_batches in share row exclusive mode;
  update staging.daily_batches as b set extracted_at = clock_timestamp(), transformed = false where b.batch_id = batch_id;
  if not found then
    raise exception 'no batch % of the daily ETL has been opened', batch_id using errcode = 'PK007';
  end if;
  delete from staging.daily_orders as o where o.batch_id = batch_id;
  delete from staging.daily_sales as s where s.batch_id = batch_id;
  delete from staging.daily_refunds as r where r.batch_id = batch_id;
  update staging.daily_days as d set new_users = 0 where d.batch_id = batch_id;

  with bounds as materialized (
    select d.day, penstock.day_start(d.day) as begins, penstock.day_start(d.day + 1) as ends
    from staging.daily_days as d
    where d.batch_id = batch_id
  ),
  found as materialized (
    select
      b.day, o.order_id, o.customer_id, o.currency, o.status = 'completed' as completed, o.total, o.gross_sales,
      o.discount, o.shipping, o.tax, o.placed_at
    from bounds as b
    cross join lateral (
      select o.* from shop.orders as o where o.placed_at >= b.begins and o.placed_at < b.ends offset 0
    ) as o
  ),
  ranked as (
    select
      f.*,
      row_number() over (
        partition by f.customer_id, f.completed order by f.placed_at, f.order_id collate "C"
      ) as place
    from found as f
  ),
  -- known from orders alone: an order that was voided is none, whatever shop.customers remembers of it
  strangers as (
    select s.day
    from (
      select f.customer_id, min(f.day) as day, min(f.placed_at) as first_at
      from found as f
      where f.customer_id is not null
      group by f.customer_id
    ) as s
    where (
      select true from shop.orders as o where o.customer_id = s.customer_id and o.placed_at < s.first_at limit 1
    ) is null
      and (
        select true from shop.customers as c where c.customer_id = s.customer_id and c.registered_at is not null
      ) is null
  ),
  registered as (
    select b.day
    from bounds as b
    cross join lateral (
      select from shop.customers as c where c.registered_at >= b.begins and c.registered_at < b.ends offset 0
    ) as c
  ),
  extracted_batch as (
    update staging.daily_batches as b
    set currencies = coalesce((select array_agg(c.currency) from shop.currencies() as c (currency)), '{XXX}')
    where b.batch_id = batch_id
  ),
  extracted_days as (
    update staging.daily_days as d set new_users = n.new_users
    from (
      select u.day, count(*) as new_users
      from (select s.day from strangers as s union all select r.day from registered as r) as u
      group by u.day
    ) as n
    where d.batch_id = batch_id and d.day = n.day
  ),
  extracted_orders as (
    insert into staging.daily_orders
      (batch_id, order_id, day, currency, completed, is_first, total, gross_sales, discount, shipping, tax)
    select
      batch_id, r.order_id, r.day, r.currency, r.completed,
      r.completed and r.customer_id is not null and r.place = 1 and (
        select true
        from shop.orders as o
        where o.customer_id = r.customer_id and o.status = 'completed' and o.placed_at < r.placed_at
        limit 1
      ) is null,
      r.total, r.gross_sales, r.discount, r.shipping, r.tax
    from ranked as r
  ),
  extracted_sales as (
    insert into staging.daily_sales (batch_id, day, currency, category, revenue, units)
    select
      batch_id, f.day, f.currency, coalesce(i.category, p.category, 'uncategorized'), sum(i.amount - i.discount),
      sum(i.quantity)
    from found as f
    cross join lateral (select i.* from shop.order_items as i where i.order_id = f.order_id offset 0) as i
    left join shop.products as p on p.product_id = i.product_id
    where f.completed
    group by 2, 3, 4
  ),
  extracted_refunds as (
    insert into staging.daily_refunds (batch_id, day, currency, amount, shipping, tax)
    select batch_id, b.day, r.currency, sum(r.amount), sum(r.shipping), sum(r.tax)
    from bounds as b
    cross join lateral (
      select r.* from shop.counted_refunds as r where r.refunded_at >= b.begins and r.refunded_at < b.ends offset 0
    ) as r
    group by b.day, r.currency
  )
  select count(*) into orders from found;
  return orders;
end $$;
comment on function shop.extract_daily(uuid) is
  'Step 1 of the daily ETL: materialise what the days of an opened batch consist of: their orders, which of them are a customer''s first, the sales of each category, what was given back, and who was new. Returns how many orders.';
revoke execute on function shop.extract_daily(uuid) from public, anon, authenticated;
grant execute on function shop.extract_daily(uuid) to service_role;

create function shop.transform_daily(batch_id uuid) returns bigint
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
#variable_conflict use_variable
declare
  batch staging.daily_batches;
begin
  -- one that was opened and not extracted has no currency
  update staging.daily_batches as b set transformed = true
  where b.batch_id = batch_id and b.currencies <> '{}'
  returning b.* into batch;
  if not found then
    raise exception 'no batch % of the daily ETL has been extracted', batch_id using errcode = 'PK007';
  end if;
  delete from staging.daily_figures as f where f.batch_id = batch_id;

  with totals as (
    select
      o.day, o.currency, count(*) as placed_count,
      count(*) filter (where o.completed) as order_count,
      sum(o.total) filter (where o.completed) as total_revenue,
      sum(o.gross_sales) filter (where o.completed) as gross_sales,
      sum(o.discount) filter (where o.completed) as discounts,
      sum(o.shipping) filter (where o.completed) as shipping,
      sum(o.tax) filter (where o.completed) as tax,
      count(*) filter (where o.is_first) as first_time_buyers
    from staging.daily_orders as o
    where o.batch_id = batch_id
    group by o.day, o.currency
  ),
  ranked as (
    select
      s.day, s.currency,
      jsonb_build_object('category', s.category, 'revenue', s.revenue::text, 'units', s.units) as category,
      row_number() over (partition by s.day, s.currency order by s.units desc, s.category collate "C") as by_units,
      row_number() over (partition by s.day, s.currency order by s.revenue desc, s.category collate "C") as by_revenue
    from staging.daily_sales as s
    where s.batch_id = batch_id
  ),
  top as (
    select
      r.day, r.currency,
      jsonb_agg(r.category order by r.by_units) filter (where r.by_units <= 5) as by_units,
      jsonb_agg(r.category order by r.by_revenue) filter (where r.by_revenue <= 5) as by_revenue
    from ranked as r
    group by r.day, r.currency
  )
  insert into staging.daily_figures (
    batch_id, day, currency, order_count, placed_count, total_revenue, gross_sales, discounts, shipping, tax,
    refunds, refunded_shipping, refunded_tax, new_users, first_time_buyers, top_categories, top_categories_by_revenue
  )
  select
    batch_id, d.day, c.currency,
    coalesce(t.order_count, 0), coalesce(t.placed_count, 0), coalesce(t.total_revenue, 0), coalesce(t.gross_sales, 0),
    coalesce(t.discounts, 0), coalesce(t.shipping, 0), coalesce(t.tax, 0),
    coalesce(r.amount, 0), coalesce(r.shipping, 0), coalesce(r.tax, 0),
    d.new_users, coalesce(t.first_time_buyers, 0), coalesce(top.by_units, '[]'), coalesce(top.by_revenue, '[]')
  from staging.daily_days as d
  cross join unnest(batch.currencies) as c (currency)
  left join totals as t on t.day = d.day and t.currency = c.currency
  left join staging.daily_refunds as r on r.batch_id = batch_id and r.day = d.day and r.currency = c.currency
  left join top on top.day = d.day and top.currency = c.currency
  where d.batch_id = batch_id;
  return (select count(*) from staging.daily_days as d where d.batch_id = batch_id);
end $$;
comment on function shop.transform_daily(uuid) is
  'Step 2 of the daily ETL: the figures of each day of the batch in each currency, from what was extracted alone, days without orders included. Returns how many days.';
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
  kept text[];
begin
  select b.* into batch from staging.daily_batches as b where b.batch_id = batch_id for update;
  if not found or not batch.transformed then
    raise exception 'no batch % of the daily ETL has been transformed', batch_id using errcode = 'PK007';
  end if;
  -- one load at a time: each leaves a row for each day and currency
  lock table public.daily_analytics in share row exclusive mode;
  -- which currencies there are is what the newest extract saw
  kept := case
    when exists (select from public.daily_analytics as a where a.computed_at > batch.extracted_at)
      then array(select distinct a.currency from public.daily_analytics as a)
    else batch.currencies
  end;

  insert into public.daily_analytics as a (
    day, currency, order_count, placed_count, total_revenue, gross_sales, discounts, shipping, tax,
    refunds, refunded_shipping, refunded_tax, new_users, first_time_buyers, top_categories, top_categories_by_revenue,
    computed_at
  )
  select
    f.day, f.currency, f.order_count, f.placed_count, f.total_revenue, f.gross_sales, f.discounts, f.shipping, f.tax,
    f.refunds, f.refunded_shipping, f.refunded_tax, f.new_users, f.first_time_buyers, f.top_categories,
    f.top_categories_by_revenue, batch.extracted_at
  from staging.daily_figures as f
  where f.batch_id = batch_id and f.currency = any (kept)
  order by f.day, f.currency
  on conflict on constraint daily_analytics_pkey do update set
    order_count = excluded.order_count, placed_count = excluded.placed_count, total_revenue = excluded.total_revenue,
    gross_sales = excluded.gross_sales, discounts = excluded.discounts, shipping = excluded.shipping, tax = excluded.tax,
    refunds = excluded.refunds, refunded_shipping = excluded.refunded_shipping, refunded_tax = excluded.refunded_tax,
    new_users = excluded.new_users, first_time_buyers = excluded.first_time_buyers,
    top_categories = excluded.top_categories, top_categories_by_revenue = excluded.top_categories_by_revenue,
    computed_at = excluded.computed_at
  -- an old batch that is run late must not put older figures over newer ones
  where a.computed_at <= excluded.computed_at;
  -- days that were computed before a currency was there, or by an extract that did not see it
  insert into public.daily_analytics (day, currency, new_users, computed_at)
  select d.day, c.currency, d.new_users, d.computed_at
  from (
    select distinct on (u.day) u.day, u.new_users, u.computed_at
    from (
      select a.day, a.new_users, a.computed_at from public.daily_analytics as a
      union all
      select n.day, n.new_users, batch.extracted_at from staging.daily_days as n where n.batch_id = batch_id
    ) as u
    order by u.day, u.computed_at desc
  ) as d
  cross join unnest(kept) as c (currency)
  where not exists (select from public.daily_analytics as a where a.day = d.day and a.currency = c.currency);
  delete from public.daily_analytics as a where a.currency <> all (kept);

  -- A mark that somebody holds is about to become another one: it stays, and nobody waits in a circle.
  delete from ops.due_days as m
  where (m.day, m.cause) in (
    select n.day, n.cause
    from ops.due_days as n
    inner join staging.daily_days as d on d.day = n.day and n.mark = any (d.marks)
    where d.batch_id = batch_id
    for update of n skip locked
  );
  return (select count(*) from staging.daily_days as d where d.batch_id = batch_id);
end $$;
comment on function shop.load_daily(uuid) is
  'Step 3 of the daily ETL: put the batch''s figures into public.daily_analytics, by day and currency, and take away the marks that it has seen. Returns how many days.';
revoke execute on function shop.load_daily(uuid) from public, anon, authenticated;
grant execute on function shop.load_daily(uuid) to service_role;

-- `security definer`, because a role that may set the zone need not have any right to the marks.
create function shop.mark_all_days() returns trigger
language plpgsql volatile
security definer
set search_path = ''
as $$
begin
  insert into ops.due_days (day, cause)
  select distinct a.day, 'timezone' from public.daily_analytics as a order by a.day
  on conflict on constraint due_days_pkey do update set mark = excluded.mark;
  -- in the new zone they may be of days that have none; those of orders are due in any case
  perform shop.mark_due_days('timezone', array(
    select r.refunded_at from shop.refunds as r
    union all
    select c.registered_at from shop.customers as c where c.registered_at is not null
  ));
  return null;
end $$;
comment on function shop.mark_all_days() is
  'Mark every day that has figures, and those of refunds and registrations: in another zone each consists of others.';
revoke execute on function shop.mark_all_days() from public, anon, authenticated;
create trigger configuration_mark_all_days after update on penstock.configuration
for each row when (old.timezone is distinct from new.timezone) execute function shop.mark_all_days();
