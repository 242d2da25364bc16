-- Materialized views: which may be refreshed, how fresh each is, and the one function that refreshes them.
-- Each needs a plain unique index and must have been populated once, so that every refresh can be concurrent: readers
-- never wait. A domain's migration creates its views in `public` and registers them here.
-- Whether a view would change is read from Postgres's own counters of the tables that it is made of, so that nothing has
-- to declare them and no writer can forget to say that it wrote.

create table ops.views (
  view text not null,
  refreshed_at timestamptz not null,
  duration_ms bigint not null,
  sources text,
  constraint views_pkey primary key (view)
);
comment on table ops.views is
  'The materialized views in `public` that refresh_materialized_view may refresh: add a row to register your own.';
comment on column ops.views.view is 'Name of a materialized view in public.';
comment on column ops.views.refreshed_at is 'When the last refresh began: whatever was committed before is in the view.';
comment on column ops.views.duration_ms is 'How long the last refresh took, in milliseconds.';
comment on column ops.views.sources is 'What penstock.view_sources said before the last refresh; null if there was none.';
alter table ops.views enable row level security;
revoke all on ops.views from public, anon, authenticated, service_role;
grant select on ops.views to service_role;

-- The tables below a view: through other views, and the partitions of partitioned ones. The counters are of Postgres's
-- statistics: they come up to 10 seconds late, and begin again after a crash or a restore, which looks like a change. A
-- file's number changes by truncate, which they do not count. What a view reads through a function or from a foreign table is
-- not known here, so outdated_views names a view once a day in any case.
create function penstock.view_sources(view_name text) returns text
language sql stable
set search_path = ''
as $$
  with recursive below (oid) as (
    select to_regclass(format('public.%I', view_name))::oid
    union
    select found.oid
    from below as b
    cross join lateral (
      select d.refobjid as oid
      from pg_catalog.pg_rewrite as r
      inner join pg_catalog.pg_depend as d on d.objid = r.oid
      where r.ev_class = b.oid and d.classid = 'pg_catalog.pg_rewrite'::regclass
        and d.refclassid = 'pg_catalog.pg_class'::regclass
      union all
      select i.inhrelid from pg_catalog.pg_inherits as i where i.inhparent = b.oid
    ) as found
  )
  select string_agg(
    format(
      '%s %s %s %s %s', c.oid, c.relfilenode, pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid),
      pg_stat_get_tuples_deleted(c.oid)
    ), ', ' order by c.oid
  )
  from below as b
  inner join pg_catalog.pg_class as c on c.oid = b.oid
  where c.relkind in ('r', 'm') and c.oid <> to_regclass(format('public.%I', view_name))
$$;
comment on function penstock.view_sources(text) is
  'The tables that a view is made of, each with the number of its file and how many rows were ever inserted, updated and deleted: equal means unchanged.';
revoke execute on function penstock.view_sources(text) from public, anon, authenticated;
grant execute on function penstock.view_sources(text) to service_role;

create function penstock.outdated_views() returns setof text
language sql stable
set search_path = ''
as $$
  select v.view
  from ops.views as v
  where v.sources is distinct from penstock.view_sources(v.view) or v.refreshed_at < now() - interval '1 day'
  order by v.view
$$;
comment on function penstock.outdated_views() is
  'The registered views whose tables have changed since they were refreshed, and those not refreshed for a day.';
revoke execute on function penstock.outdated_views() from public, anon, authenticated;
grant execute on function penstock.outdated_views() to service_role;

-- `security definer`, because only a view's owner may refresh it. The name reaches the statement only if it is registered.
-- PostgREST grants the time that a function asks for before it calls it; without this the service role has 8 s.
create function public.refresh_materialized_view(view_name text) returns jsonb
language plpgsql volatile
security definer
set search_path = ''
set jit = off
set statement_timeout = '55s'
as $$
declare
  called_at constant timestamptz := clock_timestamp();
  registered ops.views;
  coalesced boolean;
begin
  -- The row lock is held until the refresh is committed: never two at once. Who waited here sees the newer row.
  select v.* into registered from ops.views as v where v.view = view_name for update;
  if not found then
    raise exception 'no materialized view % is registered', coalesce(quote_literal(view_name), 'null')
      using errcode = 'PK007', hint = 'ops.views lists those that may be refreshed.';
  end if;

  coalesced := registered.refreshed_at > called_at;
  if not coalesced then
    registered.refreshed_at := clock_timestamp();
    registered.sources := penstock.view_sources(view_name);
    execute format('refresh materialized view concurrently public.%I', view_name);
    registered.duration_ms := ceil(1000 * extract(epoch from clock_timestamp() - registered.refreshed_at));
    update ops.views as v
    set refreshed_at = registered.refreshed_at, duration_ms = registered.duration_ms, sources = registered.sources
    where v.view = view_name;
  end if;
  return jsonb_build_object('view', view_name, 'refreshed_at', registered.refreshed_at,
    'duration_ms', registered.duration_ms, 'coalesced', coalesced);
end $$;
comment on function public.refresh_materialized_view(text) is
  'Refresh a registered materialized view while others read it. Waits for a refresh that runs already, and answers with it if it began after this call (`coalesced`). Raises PK007 for another name.';
revoke execute on function public.refresh_materialized_view(text) from public, anon, authenticated;
grant execute on function public.refresh_materialized_view(text) to service_role;
