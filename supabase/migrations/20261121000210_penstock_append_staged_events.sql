-- Bulk: events of many streams in one transaction, all or nothing, under the same rules as an append.
--   staging.events                 where the rows of a batch wait
--   public.append_staged_events    moves a batch into the store
--   penstock.reserve_versions               the first half of the fast form, for the owner alone: it updates the stream rows and
--                                  reserves positions, and the caller COPYs the events in the same transaction
-- A row's `expected_version` says which version its stream has just before it: -1 anything, 0 or n exactly that version, -2 at
-- least one event. A row that is stored already, with the same content, is a duplicate and skipped; so a batch may be
-- sent again, whole, in part or cut in other places. Positions follow `place`.
-- `security definer`: nobody but the owner may insert into the store.

create unlogged table staging.events (
  batch uuid not null,
  place integer not null,
  aggregate_type text not null,
  aggregate_id text not null,
  expected_version integer not null default -1,
  id uuid not null,
  event_type text not null,
  payload jsonb not null,
  metadata jsonb not null default '{}',
  schema_version integer not null default 1,
  constraint events_pkey primary key (batch, place),
  constraint events_aggregate_type_check check (aggregate_type <> '' and length(aggregate_type) <= 100),
  constraint events_aggregate_id_check check (aggregate_id <> '' and length(aggregate_id) <= 200),
  constraint events_expected_version_check check (expected_version >= -2),
  constraint events_event_type_check check (event_type <> '' and length(event_type) <= 200),
  constraint events_payload_check check (jsonb_typeof(payload) = 'object'),
  constraint events_metadata_check check (jsonb_typeof(metadata) = 'object'),
  constraint events_schema_version_check check (schema_version > 0)
);
comment on table staging.events is 'Events on their way into the store, by batch. append_staged_events empties it.';
alter table staging.events enable row level security;
create policy events_of_batches on staging.events to service_role using (true) with check (true);
revoke all on staging.events from public, anon, authenticated, service_role;
grant select, insert, delete on staging.events to service_role;

create function penstock.refuse_version(aggregate_type text, aggregate_id text, expected integer, actual integer)
returns integer
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception 'stream %/% is at version %, not at the expected %', aggregate_type, aggregate_id, actual,
    case expected when 0 then 'no_stream' when -2 then 'stream_exists' else expected::text end
    using errcode = 'PK001', detail = jsonb_build_object(
      'expected', expected, 'actual', actual, 'aggregate_type', aggregate_type, 'aggregate_id', aggregate_id);
end $$;
comment on function penstock.refuse_version(text, text, integer, integer) is 'Raises PK001, from within an expression.';
revoke execute on function penstock.refuse_version(text, text, integer, integer) from public, anon, authenticated;

create function penstock.reserve_versions(
  aggregate_types text[], aggregate_ids text[], numbers integer[], fresh boolean,
  out first_versions integer[], out positions bigint[], out opened_at timestamptz
)
language plpgsql volatile
set search_path = ''
as $$
#variable_conflict use_variable
declare
  fault record;
begin
  select w.aggregate_type, w.aggregate_id into fault
  from unnest(aggregate_types, aggregate_ids) as w (aggregate_type, aggregate_id)
  where w.aggregate_type = '' or length(w.aggregate_type) > 100 or w.aggregate_id = '' or length(w.aggregate_id) > 200
  limit 1;
  if found then
    perform penstock.validate_event(fault.aggregate_type, fault.aggregate_id, null, null, null, null, null);
  end if;

  -- The one order of locks (20261121000110_penstock_streams.sql), so that two batches cannot deadlock.
  if fresh then -- to hope costs half of what it costs to ask
    insert into penstock.streams (aggregate_id, aggregate_type, version)
    select w.aggregate_id, w.aggregate_type, w.number
    from unnest(aggregate_types, aggregate_ids, numbers) as w (aggregate_type, aggregate_id, number)
    order by w.aggregate_id collate "C", w.aggregate_type collate "C";
    first_versions := array_fill(1, array[cardinality(aggregate_ids)]);
  else
    with wanted as (
      select w.aggregate_type, w.aggregate_id, w.number, w.place
      from unnest(aggregate_types, aggregate_ids, numbers)
        with ordinality as w (aggregate_type, aggregate_id, number, place)
    ), moved as (
      insert into penstock.streams as s (aggregate_id, aggregate_type, version)
      select w.aggregate_id, w.aggregate_type, w.number
      from wanted as w
      order by w.aggregate_id collate "C", w.aggregate_type collate "C"
      on conflict on constraint streams_pkey do update set version = s.version + excluded.version
      returning s.aggregate_id, s.aggregate_type, s.version
    )
    select array_agg(m.version - w.number + 1 order by w.place)
    into first_versions
    from wanted as w
    join moved as m on m.aggregate_id = w.aggregate_id and m.aggregate_type = w.aggregate_type;
  end if;

  perform penstock.publish_floor();
  select array_agg(nextval('public.event_store_position_seq')) into positions
  from generate_series(1, (select sum(n) from unnest(numbers) as n));
  opened_at := clock_timestamp();
end $$;
comment on function penstock.reserve_versions(text[], text[], integer[], boolean) is
  'Update the rows of many streams and reserve positions. The caller must insert those very events in this transaction or roll back. `fresh`: none of the streams exists, or a unique violation says so.';
revoke execute on function penstock.reserve_versions(text[], text[], integer[], boolean) from public, anon, authenticated;

create function penstock.append_new_events(batch uuid, out appended bigint, out last_position bigint)
language plpgsql volatile
set search_path = ''
set jit = off
-- a batch has no statistics: guesses would end in nested loops
set enable_nestloop = off
set enable_mergejoin = off
set work_mem = '64MB'
as $$
#variable_conflict use_variable
begin
  perform penstock.publish_floor();
  with numbered as materialized (
    select nextval('public.event_store_position_seq') as "position", n.place, n.aggregate_type, n.aggregate_id, n.number
    from (
      select
        s.place, s.aggregate_type, s.aggregate_id,
        row_number() over (partition by s.aggregate_id, s.aggregate_type order by s.place)::integer as number
      from staging.events as s
      where s.batch = batch
      order by s.place
    ) as n
  ), wanted as materialized (
    select n.aggregate_id, n.aggregate_type, max(n.number) as number
    from numbered as n
    group by n.aggregate_id, n.aggregate_type
  ), moved as materialized (
    insert into penstock.streams as s (aggregate_id, aggregate_type, version)
    select w.aggregate_id, w.aggregate_type, w.number
    from wanted as w
    order by w.aggregate_id collate "C", w.aggregate_type collate "C"
    on conflict on constraint streams_pkey do update set version = s.version + excluded.version
    returning s.aggregate_id, s.aggregate_type, s.version
  ), bases as materialized (
    select m.aggregate_id, m.aggregate_type, m.version - w.number as version
    from moved as m
    join wanted as w on w.aggregate_id = m.aggregate_id and w.aggregate_type = m.aggregate_type
  ), inserted as (
    insert into public.event_store as e
      (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
    select
      n.position, s.id, s.aggregate_type, s.aggregate_id, s.event_type, s.payload,
      case
        when s.metadata ?& '{correlation_id,causation_id,actor,source,occurred_at}' then s.metadata
        else penstock.validate_event(s.aggregate_type, s.aggregate_id, s.event_type, s.payload, s.metadata, s.schema_version, s.id)
      end,
      case
        when s.expected_version = -1 or s.expected_version = b.version + n.number - 1
          or (s.expected_version = -2 and b.version + n.number > 1)
        then b.version + n.number
        else penstock.refuse_version(s.aggregate_type, s.aggregate_id, s.expected_version, b.version + n.number - 1)
      end,
      s.schema_version
    from staging.events as s
    join numbered as n on n.place = s.place
    join bases as b on b.aggregate_id = n.aggregate_id and b.aggregate_type = n.aggregate_type
    where s.batch = batch
    returning e.position
  )
  select count(*), max(i.position) into appended, last_position from inserted as i;
end $$;
comment on function penstock.append_new_events(uuid) is
  'Append a batch of which nothing is stored. Raises PK001, or a unique violation if something is.';
revoke execute on function penstock.append_new_events(uuid) from public, anon, authenticated;

create function penstock.drop_stored_events(batch uuid, out dropped bigint, out last_position bigint)
language plpgsql volatile
set search_path = ''
set jit = off
set enable_mergejoin = off
as $$
#variable_conflict use_variable
declare
  taken record;
begin
  select s.id into taken from staging.events as s where s.batch = batch group by s.id having count(*) > 1 limit 1;
  if found then
    raise exception 'the event id % appears twice in one batch', taken.id using errcode = 'PK004';
  end if;

  select s.place, s.id, e.aggregate_type, e.aggregate_id, e.version into taken
  from staging.events as s
  join public.event_store as e on e.id = s.id
  where s.batch = batch and (
    e.aggregate_id <> s.aggregate_id or e.aggregate_type <> s.aggregate_type or e.event_type <> s.event_type
    or e.payload <> s.payload or e.schema_version <> s.schema_version)
  order by s.place
  limit 1;
  if found then
    raise exception 'event id % is taken by event % of stream %/%, with another stream, type or payload',
      taken.id, taken.version, taken.aggregate_type, taken.aggregate_id
      using errcode = 'PK002', detail = jsonb_build_object('id', taken.id, 'place', taken.place);
  end if;

  with stored as (
    delete from staging.events as s
    using public.event_store as e
    where s.batch = batch and e.id = s.id
    returning e.position
  )
  select count(*), max(d.position) into dropped, last_position from stored as d;
end $$;
comment on function penstock.drop_stored_events(uuid) is
  'Take the rows that the store has already out of a batch. Raises PK002 for an id with another content.';
revoke execute on function penstock.drop_stored_events(uuid) from public, anon, authenticated;

create function public.append_staged_events(
  batch uuid, out appended bigint, out duplicates bigint, out last_position bigint
)
language plpgsql volatile
security definer
set search_path = ''
set jit = off
as $$
#variable_conflict use_variable
declare
  dropped record;
  stored_position bigint;
begin
  duplicates := 0;
  loop
    begin
      -- Hope for the best: to ask the store for each id first would cost as much as a third of the append.
      select f.appended, f.last_position into appended, last_position from penstock.append_new_events(batch) as f;
      exit;
    exception when unique_violation or sqlstate 'PK001' then
      -- Something is stored already, by an earlier call or by one that ran beside this one. Each turn takes rows out,
      -- so this ends.
      select d.dropped, d.last_position into dropped from penstock.drop_stored_events(batch) as d;
      if dropped.dropped = 0 then
        raise;
      end if;
      duplicates := duplicates + dropped.dropped;
      stored_position := greatest(stored_position, dropped.last_position);
    end;
  end loop;
  last_position := greatest(last_position, stored_position);
  if coalesce(appended, 0) + duplicates = 0 then
    raise exception 'batch % has no rows in staging.events: it was appended before, or a crash of the server emptied it', batch
      using errcode = 'PK007', hint = 'Stage its rows again and repeat the call: those that are stored already are skipped.';
  end if;
  delete from staging.events as s where s.batch = batch;
end $$;
comment on function public.append_staged_events(uuid) is
  'Append the batch that waits in staging.events: all or nothing, idempotent by event id. Raises PK001, PK002, PK004, PK008, and PK007 if no row of it is there.';
revoke execute on function public.append_staged_events(uuid) from public, anon, authenticated;
grant execute on function public.append_staged_events(uuid) to service_role;
