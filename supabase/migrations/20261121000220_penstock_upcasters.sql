-- Upcasters: old payloads read as new ones, while the stored bytes stay as they are.
--   penstock.upcasters           which SQL function lifts a payload of (event_type, schema_version) to the next version
--   penstock.register_upcaster   the way in; it writes the chain into the view
--   public.current_events   the store as of today: read_stream, read_events, projections and the relay read it
-- With nothing registered the view is the bare table, so that it costs nothing; with a chain, the calls are in its
-- text, and only events of the types in question pay.

create table penstock.upcasters (
  event_type text not null,
  schema_version integer not null,
  upcaster text not null,
  generation integer not null,
  constraint upcasters_pkey primary key (event_type, schema_version),
  constraint upcasters_schema_version_check check (schema_version > 0)
);
comment on table penstock.upcasters is 'The SQL function that turns a payload of this type and version into one of the next version.';
comment on column penstock.upcasters.event_type is 'The type whose payloads it lifts.';
comment on column penstock.upcasters.schema_version is 'The version that it lifts to the next.';
comment on column penstock.upcasters.upcaster is 'Its name with schema and argument: a column of type regprocedure would stop pg_upgrade.';
comment on column penstock.upcasters.generation is 'Grows with each registration; a snapshot of another generation is not used.';
alter table penstock.upcasters enable row level security;
create policy upcasters_read on penstock.upcasters for select to service_role, analyst using (true);
revoke all on penstock.upcasters from public, anon, authenticated, service_role;
grant select on penstock.upcasters to service_role, analyst;

create view public.current_events with (security_invoker = true) as
select
  e.position, e.id, e.aggregate_type, e.aggregate_id, e.event_type, e.payload, e.metadata, e.version,
  e.schema_version, e.created_at
from public.event_store as e;
comment on view public.current_events is 'Every event with its payload in the newest version. Read this rather than event_store, unless the stored bytes are wanted.';
comment on column public.current_events.position is 'Place in the whole store. Grows; may have gaps; never reused.';
comment on column public.current_events.id is 'The event''s own id, from its writer.';
comment on column public.current_events.aggregate_type is 'Kind of thing that the stream is about; first part of the stream''s name.';
comment on column public.current_events.aggregate_id is 'Which one: second part of the stream''s name.';
comment on column public.current_events.event_type is 'What happened, such as OrderPlaced.';
comment on column public.current_events.payload is 'What the event says, lifted to the newest version by the registered upcasters.';
comment on column public.current_events.metadata is 'correlation_id, causation_id, actor, source, occurred_at, and what the caller adds.';
comment on column public.current_events.version is 'Place in the stream: 1, 2, 3 … without gaps.';
comment on column public.current_events.schema_version is 'Version of the payload''s shape after upcasting.';
comment on column public.current_events.created_at is 'When it was stored. When it happened is metadata.occurred_at.';
revoke all on public.current_events from public, anon, authenticated, service_role;
grant select on public.current_events to service_role, analyst;

create function penstock.rewrite_current_events() returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  payloads text;
  versions text;
begin
  -- one branch for each type; in it, one for each old version with the calls from there to the newest
  with calls as (
    select
      u.event_type, u.schema_version,
      (select string_agg(format('%s(', n.upcaster::regprocedure::oid::regproc), '' order by n.schema_version desc)
        || 'e.payload' || repeat(')', count(*)::integer)
      from penstock.upcasters as n
      where n.event_type = u.event_type and n.schema_version >= u.schema_version) as call
    from penstock.upcasters as u
  ), branches as (
    select
      c.event_type,
      string_agg(format(' when %s then %s', c.schema_version, c.call), '' order by c.schema_version) as cases,
      max(c.schema_version) + 1 as newest
    from calls as c
    group by c.event_type
  )
  select
    string_agg(format(' when %L then case e.schema_version%s else e.payload end', b.event_type, b.cases), ''
      order by b.event_type),
    string_agg(format(' when %L then greatest(e.schema_version, %s)', b.event_type, b.newest), ''
      order by b.event_type)
  into payloads, versions
  from branches as b;

  execute format(
    'create or replace view public.current_events with (security_invoker = true) as select e.position, e.id, '
    'e.aggregate_type, e.aggregate_id, e.event_type, %s as payload, e.metadata, e.version, %s as schema_version, '
    'e.created_at from public.event_store as e',
    coalesce('case e.event_type' || payloads || ' else e.payload end', 'e.payload'),
    coalesce('case e.event_type' || versions || ' else e.schema_version end', 'e.schema_version')
  );
end $$;
comment on function penstock.rewrite_current_events() is 'Write the chains of penstock.upcasters into public.current_events.';
revoke execute on function penstock.rewrite_current_events() from public, anon, authenticated;

create function penstock.register_upcaster(event_type text, schema_version integer, upcaster regprocedure) returns void
language plpgsql volatile
set search_path = ''
as $$
#variable_conflict use_variable
declare
  lowest integer;
  highest integer;
begin
  if event_type is null or event_type = '' or schema_version is null or schema_version < 1 then
    raise exception 'an upcaster needs an event type and the schema version that it lifts, at least 1'
      using errcode = 'PK004';
  end if;
  if not exists (
    select from pg_catalog.pg_proc as p
    where p.oid = upcaster::oid and p.pronargs = 1 and p.proargtypes[0] = 'jsonb'::regtype
      and p.prorettype = 'jsonb'::regtype and p.provolatile in ('i', 's') and not p.proretset
  ) then
    raise exception '% is not an upcaster: it must take a jsonb, return a jsonb, and be immutable or stable', upcaster
      using errcode = 'PK004';
  end if;

  lock table penstock.upcasters in exclusive mode;
  select min(u.schema_version), max(u.schema_version) into lowest, highest
  from penstock.upcasters as u where u.event_type = event_type;
  if schema_version not between lowest - 1 and highest + 1 then
    raise exception 'the chain of % goes from % to %: version % would leave a gap', event_type, lowest, highest, schema_version
      using errcode = 'PK004';
  end if;

  insert into penstock.upcasters as u (event_type, schema_version, upcaster, generation)
  select event_type, schema_version, upcaster::text, coalesce(max(g.generation), 0) + 1 from penstock.upcasters as g
  on conflict on constraint upcasters_pkey do update set upcaster = excluded.upcaster, generation = excluded.generation;
  execute format('grant execute on function %s to service_role, analyst', upcaster);
  perform penstock.rewrite_current_events();
end $$;
comment on function penstock.register_upcaster(text, integer, regprocedure) is
  'Let `upcaster(payload jsonb) returns jsonb` lift events of this type from `schema_version` to the next. Register again after changing it.';
revoke execute on function penstock.register_upcaster(text, integer, regprocedure) from public, anon, authenticated;
