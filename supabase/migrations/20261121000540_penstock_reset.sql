-- Start over with the data: every event, import, delivery, run, letter, checkpoint and read model goes. What stays is
-- what somebody has set up: migrations, configuration, upcasters, registered views and remembered mappings of files;
-- calls that Inngest signed are known until they are too old to be repeated.
-- Only the owner can do it, since only the owner may switch a trigger off: no other role is granted the function, and it
-- would fail for one that was. In one transaction: a reader sees all of before or nothing.
-- Positions are not counted from 1 again: an append that has drawn its own and waits here must not fall below a
-- checkpoint, and no cursor may be ahead of what is new.

create function penstock.reset_data(domain_tables regclass[] default '{}') returns void
language plpgsql volatile
set search_path = ''
set lock_timeout = '10s'
as $$
declare
  -- in the order in which imports, projections and appends take them
  emptied constant regclass[] := array[
    'raw.imports', 'raw.import_batches', 'raw.import_changes', 'raw.import_rejects', 'raw.import_undo',
    'raw.held_keys', 'raw.held_lines', 'raw.webhook_inbox', 'ops.subscriptions',
    'ops.listened_types', 'penstock.streams', 'public.event_store', 'penstock.snapshots', 'penstock.undone_events',
    'ops.runs', 'ops.dead_letters'
  ]::regclass[] || domain_tables || array(
    -- all that is on its way, of domains too, but for the tables that each import has of its own
    select c.oid::regclass from pg_catalog.pg_class as c
    where c.relnamespace = 'staging'::regnamespace and c.relkind = 'r' and c.relname !~ '^import_[0-9a-f]{32}'
  );
  listed constant text := (
    select string_agg(t.name::text, ', ' order by t.place) from unnest(emptied) with ordinality as t (name, place)
  );
  guards text[] := '{}'::text[];
  statement text;
  guard record;
  left_over record;
  registered record;
begin
  execute format('lock table %s in access exclusive mode', listed);
  for guard in
    select t.tgrelid::regclass as guarded, t.tgname as name,
      case t.tgenabled when 'A' then 'always ' when 'R' then 'replica ' else '' end as how
    from pg_catalog.pg_trigger as t
    where t.tgrelid = any(emptied) and not t.tgisinternal and t.tgenabled <> 'D'
      and t.tgtype & 32 <> 0 -- before or after truncate
  loop
    execute format('alter table %s disable trigger %I', guard.guarded, guard.name);
    guards := guards || format('alter table %s enable %strigger %I', guard.guarded, guard.how, guard.name);
  end loop;
  execute format('truncate %s', listed);
  foreach statement in array guards loop
    execute statement;
  end loop;

  -- what an import leaves that is in the middle, or was killed there
  for left_over in
    select c.relname as name, case c.relkind when 'r' then 'table' else 'sequence' end as kind
    from pg_catalog.pg_class as c
    where c.relnamespace = 'staging'::regnamespace and c.relname ~ '^import_[0-9a-f]{32}' and c.relkind in ('r', 'S')
  loop
    execute format('drop %s if exists staging.%I cascade', left_over.kind, left_over.name);
  end loop;

  for registered in select v.view as name from ops.views as v loop
    execute format('refresh materialized view public.%I', registered.name);
    update ops.views as v set refreshed_at = clock_timestamp(), duration_ms = 0 where v.view = registered.name;
  end loop;
end $$;
comment on function penstock.reset_data(regclass[]) is
  'Delete all data, also that of the tables that domains name; migrations and what was set up stay. For the owner alone: penstock reset.';
revoke execute on function penstock.reset_data(regclass[]) from public, anon, authenticated;
