-- Materialized views: which may be refreshed, how fresh each is, and the one function that refreshes them.
-- Each needs a plain unique index and must have been populated once, so that every refresh can be concurrent: readers
-- never wait. A domain's migration creates its views in `public` and registers them here.

create table ops.views (
  view text not null,
  refreshed_at timestamptz not null,
  duration_ms bigint not null,
  constraint views_pkey primary key (view)
);
comment on table ops.views is
  'The materialized views in `public` that refresh_materialized_view may refresh: add a row to register your own.';
comment on column ops.views.view is 'Name of a materialized view in public.';
comment on column ops.views.refreshed_at is 'When the last refresh began: whatever was committed before is in the view.';
comment on column ops.views.duration_ms is 'How long the last refresh took, in milliseconds.';
alter table ops.views enable row level security;
revoke all on ops.views from public, anon, authenticated, service_role;
grant select on ops.views to service_role;

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
    execute format('refresh materialized view concurrently public.%I', view_name);
    registered.duration_ms := ceil(1000 * extract(epoch from clock_timestamp() - registered.refreshed_at));
    update ops.views as v set refreshed_at = registered.refreshed_at, duration_ms = registered.duration_ms
    where v.view = view_name;
  end if;
  return jsonb_build_object('view', view_name, 'refreshed_at', registered.refreshed_at,
    'duration_ms', registered.duration_ms, 'coalesced', coalesced);
end $$;
comment on function public.refresh_materialized_view(text) is
  'Refresh a registered materialized view while others read it. Waits for a refresh that runs already, and answers with it if it began after this call (`coalesced`). Raises PK007 for another name.';
revoke execute on function public.refresh_materialized_view(text) from public, anon, authenticated;
grant execute on function public.refresh_materialized_view(text) to service_role;
