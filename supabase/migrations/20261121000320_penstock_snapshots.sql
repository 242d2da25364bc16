-- Snapshots: the state of a long stream at some version, so that a load need not fold it from the start.
-- A cache and nothing more: delete any of it at any time. A snapshot counts for one reducer in one version, and for one
-- generation of upcasters, since both decide what a fold comes to.

create table penstock.snapshots (
  aggregate_type text not null,
  aggregate_id text not null,
  reducer text not null,
  reducer_version integer not null,
  generation integer not null,
  version integer not null,
  position bigint not null,
  stored_at timestamptz not null,
  state json not null,
  constraint snapshots_pkey primary key (aggregate_id, aggregate_type, reducer, reducer_version, generation, version)
);
comment on table penstock.snapshots is 'Cached states of aggregates, every hundred events. May be deleted at any time.';
comment on column penstock.snapshots.aggregate_type is 'First part of the name of the stream.';
comment on column penstock.snapshots.aggregate_id is 'Second part of the name of the stream.';
comment on column penstock.snapshots.reducer is 'The reducer whose state it is.';
comment on column penstock.snapshots.reducer_version is 'Of the reducer: states of an older one are not used.';
comment on column penstock.snapshots.generation is 'The newest registration in penstock.upcasters when the events were read.';
comment on column penstock.snapshots.version is 'Version of the last event that the state holds.';
comment on column penstock.snapshots.position is 'Position of that event.';
comment on column penstock.snapshots.stored_at is 'The latest created_at among the events that the state holds.';
comment on column penstock.snapshots.state is 'As json, not jsonb: a state must come back as it was, the order of its keys included.';
alter table penstock.snapshots enable row level security;
create policy snapshots_of_service on penstock.snapshots to service_role using (true) with check (true);
revoke all on penstock.snapshots from public, anon, authenticated, service_role;
grant select, insert, delete on penstock.snapshots to service_role;

create function penstock.read_aggregate(
  aggregate_type text, aggregate_id text, reducer text, reducer_version integer,
  at_version integer default null, at timestamptz default null
) returns table (
  generation integer, state json, "position" bigint, id uuid, event_type text, payload jsonb, metadata jsonb,
  version integer, schema_version integer, created_at timestamptz
)
language sql stable
set search_path = ''
as $$
  with present as materialized (
    select coalesce(max(u.generation), 0) as generation from penstock.upcasters as u
  ), snapshot as materialized (
    select s.*
    from penstock.snapshots as s
    where s.aggregate_id = read_aggregate.aggregate_id and s.aggregate_type = read_aggregate.aggregate_type
      and s.reducer = read_aggregate.reducer and s.reducer_version = read_aggregate.reducer_version
      and s.generation = (select p.generation from present as p)
      and (at_version is null or s.version <= at_version) and (at is null or s.stored_at <= at)
    order by s.version desc
    limit 1
  )
  select s.generation, s.state, s.position, null, null, null, null, s.version, null, s.stored_at
  from snapshot as s
  union all
  (
    select
      (select p.generation from present as p), null, e.position, e.id, e.event_type, e.payload, e.metadata, e.version,
      e.schema_version, e.created_at
    from public.current_events as e
    where e.aggregate_id = read_aggregate.aggregate_id and e.aggregate_type = read_aggregate.aggregate_type
      and e.version > coalesce((select s.version from snapshot as s), 0)
      and e.version <= coalesce(at_version, 2147483647)
    order by e.version
    limit 1000
  )
$$;
comment on function penstock.read_aggregate(text, text, text, integer, integer, timestamptz) is
  'The newest snapshot that counts (state is not null), if any, then the first events after it.';
revoke execute on function penstock.read_aggregate(text, text, text, integer, integer, timestamptz)
  from public, anon, authenticated;
grant execute on function penstock.read_aggregate(text, text, text, integer, integer, timestamptz) to service_role;

create function penstock.save_snapshot(
  aggregate_type text, aggregate_id text, reducer text, reducer_version integer, generation integer,
  version integer, "position" bigint, stored_at timestamptz, state json
) returns void
language plpgsql volatile
set search_path = ''
as $$
#variable_conflict use_variable
begin
  if current_setting('transaction_read_only') = 'on' then
    return; -- a load in a read-only transaction, or on a standby, does without
  end if;
  -- the second to come does without too: a cache does not justify to wait for another transaction, or to deadlock with it
  if not pg_try_advisory_xact_lock(20564, hashtext(aggregate_type || '/' || aggregate_id || '/' || reducer)) then
    return;
  end if;
  -- of older code and older upcasters; not of newer, which may run beside this during a deployment
  delete from penstock.snapshots as s
  where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type and s.reducer = reducer
    and (s.reducer_version < reducer_version or s.generation < generation);
  insert into penstock.snapshots values (
    aggregate_type, aggregate_id, reducer, reducer_version, generation, version, "position", stored_at, state
  )
  on conflict on constraint snapshots_pkey do nothing;
end $$;
comment on function penstock.save_snapshot(text, text, text, integer, integer, integer, bigint, timestamptz, json) is
  'Remember a state. Replaces those of older reducers and upcasters.';
revoke execute on function penstock.save_snapshot(text, text, text, integer, integer, integer, bigint, timestamptz, json)
  from public, anon, authenticated;
grant execute on function penstock.save_snapshot(text, text, text, integer, integer, integer, bigint, timestamptz, json)
  to service_role;
