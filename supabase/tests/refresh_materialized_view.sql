-- refresh_materialized_view: the service role alone, and only what is registered.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions, public;
-- taking on our own role, and pgTAP's functions in that role, need what Supabase's roles have; gone with the rollback
grant analyst to current_user;
grant usage on schema extensions to analyst;
select no_plan();

select function_privs_are(
  'public', 'refresh_materialized_view', array['text'], 'service_role', array['EXECUTE'], 'service_role may execute it'
);
select function_privs_are(
  'public', 'refresh_materialized_view', array['text'], role, array[]::text[], format('%s may not execute it', role)
)
from unnest(array['anon', 'authenticated', 'analyst']) as role;
select is_definer('public', 'refresh_materialized_view', array['text'], 'it runs with the rights of the views'' owner');
select set_eq(
  'select view from ops.views', array['monthly_revenue', 'user_cohorts', 'product_performance'],
  'exactly the three views are registered'
);
select is_empty(
  $$ select view from ops.views where to_regclass('public.' || quote_ident(view)) is null $$,
  'every registered view exists'
);

set local role analyst;
select throws_ok(
  $$ select public.refresh_materialized_view('monthly_revenue') $$, '42501', null, 'analyst is refused'
);
reset role;

insert into shop.orders (order_id, customer_id, status, currency, total, placed_at, version, placed_position, position)
values ('tap-1', 'tap', 'completed', 'GBP', 10.250, '2010-12-24T12:00:00Z', 1, 1, 1);
insert into shop.order_items (order_id, line, product_id, name, category, quantity, unit_price, amount)
values ('tap-1', 1, 'tap-p', 'Tap', 'Taps', 1, 10.250, 10.250);

set local role service_role;
create temporary table answers on commit drop as
select v.view, public.refresh_materialized_view(v.view) as answer
from unnest(array['monthly_revenue', 'user_cohorts', 'product_performance']) as v (view);

select is((select count(*)::int from answers where answer ->> 'view' = view), 3, 'each answer names its view');
select is_empty(
  $$ select view from answers
     where (answer ->> 'duration_ms')::numeric <= 0 or (answer ->> 'refreshed_at')::timestamptz is null $$,
  'each answer says when and how long'
);
select is(
  (select revenue from public.monthly_revenue where month = '2010-12-01'), 10.250, 'monthly_revenue has the new order'
);
select is((select count(*)::int from public.user_cohorts where cohort_month = '2010-12-01'), 1, 'so has user_cohorts');
select is(
  (select units_sold::int from public.product_performance where product_id = 'tap-p'), 1, 'so has product_performance'
);

select throws_ok(
  format('select public.refresh_materialized_view(%L)', name), 'PK007', null, format('%L is refused', name)
)
from unnest(array[
  'orders', 'event_store', 'public.monthly_revenue', 'MONTHLY_REVENUE', '', 'monthly_revenue; drop table shop.orders',
  'monthly_revenue with no data', null
]) as name;
select throws_ok(
  $$ refresh materialized view public.monthly_revenue $$, '42501', null,
  'service_role cannot refresh past the function'
);
select throws_ok(
  $$ insert into ops.views (view, refreshed_at, duration_ms) values ('orders', now(), 0) $$, '42501', null,
  'service_role cannot register a view'
);
reset role;

select * from finish();
rollback;
