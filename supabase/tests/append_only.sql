-- The event store takes no change from any role: the API's roles lack the privilege, the owner meets the triggers.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions, public;
-- taking on our own role, and pgTAP's functions in that role, need what Supabase's roles have; gone with the rollback
grant analyst to current_user;
grant usage on schema extensions to analyst;
select no_plan();

insert into penstock.streams (aggregate_id, aggregate_type, version) values ('tap', 'order', 0);
select lives_ok(
  $$ select public.append_event('order', 'tap', -1, gen_random_uuid(), 'OrderPlaced', '{}') $$,
  'the owner appends through the SQL function'
);

create function pg_temp.refused_changes(sqlstate_expected text, who text) returns setof text
language plpgsql
as $$
declare
  change text;
begin
  foreach change in array array[
    'update public.event_store set payload = ''{"forged": true}''',
    'delete from public.event_store',
    'truncate public.event_store',
    'truncate public.event_store cascade'
  ] loop
    return next throws_ok(change, sqlstate_expected, null, format('%s: %s is refused', who, change));
  end loop;
end $$;

select pg_temp.refused_changes('PK006', 'owner');

set local role service_role;
select pg_temp.refused_changes('42501', 'service_role');
select throws_ok(
  $$ insert into public.event_store (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version)
     values (1000000, gen_random_uuid(), 'order', 'tap', 'OrderPlaced', '{}', '{}', 99) $$,
  '42501', null, 'service_role: an insert past append_event is refused'
);
select throws_ok(
  $$ update penstock.streams set version = 7 $$, '42501', null, 'service_role: a forged stream head is refused'
);
select throws_ok(
  $$ select setval('public.event_store_position_seq', 1) $$, '42501', null,
  'service_role: turning the positions back is refused'
);
select throws_ok(
  $$ alter table public.event_store disable trigger all $$, '42501', null,
  'service_role: switching the triggers off is refused'
);
select lives_ok(
  $$ select public.append_event('order', 'tap', 1, gen_random_uuid(), 'OrderCompleted', '{}') $$,
  'service_role appends through the SQL function'
);
select is((select count(*)::int from public.read_stream('order', 'tap')), 2, 'service_role reads both events');
reset role;

set local role analyst;
select pg_temp.refused_changes('42501', 'analyst');
select throws_ok(
  $$ select public.append_event('order', 'tap', -1, gen_random_uuid(), 'OrderPlaced', '{}') $$, '42501', null,
  'analyst: appending is refused'
);
select is((select count(*)::int from public.event_store), 2, 'analyst reads the store');
reset role;

set local role anon;
select pg_temp.refused_changes('42501', 'anon');
select throws_ok('select * from public.event_store', '42501', null, 'anon: reading is refused');
reset role;

set local role authenticated;
select pg_temp.refused_changes('42501', 'authenticated');
select throws_ok('select * from public.event_store', '42501', null, 'authenticated: reading is refused');
reset role;

select is(
  (select count(*)::int from public.event_store where payload = '{}'), 2, 'after all that the store is as it was'
);
select * from finish();
rollback;
