-- Appending. One call is one stream, one transaction, all or nothing.
--   append_event    one event, the fast path
--   append_events   any number of events of one stream
-- `expected_version`: n >= 1 the stream is at n; 0 it does not exist; -1 anything; -2 it exists.
-- Retries: the same ids with the same content answer as the first time (`duplicate`), whatever came since.
-- SQLSTATEs, with numbers as JSON in DETAIL:
--   PK001 the stream is at another version   PK002 an id is taken by another event
--   PK003 only a part of the ids is stored   PK004 the arguments are wrong
-- `security definer`: nobody but the owner may insert into the store, so that versions and positions cannot be forged.

create function ops.complete_metadata(metadata jsonb, event_id uuid) returns jsonb
language sql stable
set search_path = ''
as $$
  select pg_catalog.jsonb_build_object(
    'correlation_id', event_id, 'causation_id', null, 'actor', session_user, 'source', 'sql', 'occurred_at', pg_catalog.now()
  ) || metadata
$$;
comment on function ops.complete_metadata(jsonb, uuid) is 'The metadata with what every event carries filled in where the caller left it out.';
revoke execute on function ops.complete_metadata(jsonb, uuid) from public, anon, authenticated;

create function ops.answer_retry(
  aggregate_type text, aggregate_id text, expected_version integer, appended integer,
  ids uuid[], event_types text[], payloads jsonb[], schema_versions integer[],
  out version integer, out positions bigint[]
)
language plpgsql
set search_path = ''
as $$
#variable_conflict use_variable
declare
  number constant integer := cardinality(ids);
  stored integer;
  same integer;
  in_order boolean;
  actual integer;
begin
  -- with repeated ids inside one call the second stands in the store because of the first: nothing to answer from
  if number > (select count(distinct sent.id) from unnest(ids) as sent (id)) then
    raise exception 'an event id stands twice in one call' using errcode = 'PK004';
  end if;

  select
    count(e.id),
    count(e.id) filter (
      where e.aggregate_id = aggregate_id and e.aggregate_type = aggregate_type
        and e.event_type = sent.event_type and e.payload = sent.payload and e.schema_version = sent.schema_version
    ),
    max(e.version), array_agg(e.position order by sent.place),
    bool_and(e.version - sent.place = (select f.version - 1 from public.event_store as f where f.id = ids[1]))
  into stored, same, version, positions, in_order
  from unnest(ids, event_types, payloads, schema_versions)
    with ordinality as sent (id, event_type, payload, schema_version, place)
  left join public.event_store as e on e.id = sent.id;
  -- events of this very call that were inserted beside stored ones count as not stored; the raise undoes them
  stored := stored - coalesce(appended, 0);

  if stored = 0 then
    select s.version into actual from public.streams as s
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type;
    raise exception 'stream %/% is at version %, not at the expected %', aggregate_type, aggregate_id, coalesce(actual, 0),
      case expected_version when 0 then 'no_stream' when -2 then 'stream_exists' else expected_version::text end
      using errcode = 'PK001', detail = jsonb_build_object('expected', expected_version, 'actual', coalesce(actual, 0));
  elsif stored < number then
    raise exception '% of the % events of this call are stored already: a retry must repeat the whole call', stored, number
      using errcode = 'PK003', detail = jsonb_build_object('stored', stored, 'sent', number);
  elsif same < number or not in_order then
    raise exception 'an event id of this call is taken by an event with another stream, type, payload or order'
      using errcode = 'PK002';
  end if;

  if appended is not null then -- the head was moved before the repeated ids were seen: move it back
    update public.streams as s set version = s.version - number
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type;
  end if;
end $$;
comment on function ops.answer_retry(text, text, integer, integer, uuid[], text[], jsonb[], integer[]) is
  'The cold path of an append: answers a repeated call as the first time, or raises what stands in the way. `appended`: null if the head row was not moved.';
revoke execute on function ops.answer_retry(text, text, integer, integer, uuid[], text[], jsonb[], integer[])
  from public, anon, authenticated;

create function public.append_event(
  aggregate_type text, aggregate_id text, expected_version integer,
  id uuid, event_type text, payload jsonb, metadata jsonb default '{}', schema_version integer default 1,
  out version integer, out "position" bigint, out duplicate boolean
)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_variable
begin
  -- 1. the head row: the only lock on which two appends can meet, and only on one stream
  if expected_version > 0 then
    update public.streams as s set version = s.version + 1
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type and s.version = expected_version
    returning s.version into version;
  elsif expected_version = 0 then
    insert into public.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, 1)
    on conflict on constraint streams_pkey do nothing
    returning s.version into version;
  elsif expected_version = -1 then
    insert into public.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, 1)
    on conflict on constraint streams_pkey do update set version = s.version + 1
    returning s.version into version;
  elsif expected_version = -2 then
    update public.streams as s set version = s.version + 1
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type
    returning s.version into version;
  else
    raise exception 'expected_version is %: it must be a version, 0 (no_stream), -1 (any) or -2 (stream_exists)',
      coalesce(expected_version::text, 'null') using errcode = 'PK004';
  end if;

  if version is not null then
    -- 2. publish the floor before drawing a position, once a transaction (20261121000300_read_events.sql says why).
    -- Written as a condition because plpgsql evaluates that without a query of its own.
    if current_setting('penstock.floor_held', true) is distinct from pg_current_xact_id()::text
      and (pg_advisory_xact_lock_shared(
          (20563::bigint << 48) | coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0)) is null
        or set_config('penstock.floor_held', pg_current_xact_id()::text, true) is null)
    then
      raise exception 'the floor could not be published';
    end if;

    if not metadata ?& '{correlation_id,causation_id,actor,source,occurred_at}' then
      metadata := ops.complete_metadata(metadata, id);
    end if;

    -- 3. the event
    insert into public.event_store as e
      (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
    values (
      nextval('public.event_store_position_seq'), id, aggregate_type, aggregate_id, event_type, payload, metadata,
      version, schema_version
    )
    on conflict on constraint event_store_id_key do nothing
    returning e.position into "position";
    if found then
      duplicate := false;
      return;
    end if;
  end if;

  duplicate := true;
  select r.version, r.positions[1] into version, "position"
  from ops.answer_retry(aggregate_type, aggregate_id, expected_version, case when version is not null then 0 end,
    array[id], array[event_type], array[payload], array[schema_version]) as r;
end $$;
comment on function public.append_event(text, text, integer, uuid, text, jsonb, jsonb, integer) is
  'Append one event. expected_version: n, 0 no_stream, -1 any, -2 stream_exists. Raises PK001 to PK004.';
revoke execute on function public.append_event(text, text, integer, uuid, text, jsonb, jsonb, integer)
  from public, anon, authenticated;
grant execute on function public.append_event(text, text, integer, uuid, text, jsonb, jsonb, integer) to service_role;

create function public.append_events(
  aggregate_type text, aggregate_id text, expected_version integer,
  ids uuid[], event_types text[], payloads jsonb[],
  metadatas jsonb[] default null, schema_versions integer[] default null,
  out version integer, out positions bigint[], out duplicate boolean
)
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_variable
declare
  number constant integer := coalesce(cardinality(ids), 0);
  appended integer;
begin
  if number = 0 or number <> all (array[
    cardinality(event_types), cardinality(payloads),
    coalesce(cardinality(metadatas), number), coalesce(cardinality(schema_versions), number)])
  then
    raise exception 'ids, event_types, payloads, metadatas and schema_versions must be as many as there are events, at least one'
      using errcode = 'PK004';
  end if;

  if expected_version > 0 then
    update public.streams as s set version = s.version + number
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type and s.version = expected_version
    returning s.version into version;
  elsif expected_version = 0 then
    insert into public.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, number)
    on conflict on constraint streams_pkey do nothing
    returning s.version into version;
  elsif expected_version = -1 then
    insert into public.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, number)
    on conflict on constraint streams_pkey do update set version = s.version + number
    returning s.version into version;
  elsif expected_version = -2 then
    update public.streams as s set version = s.version + number
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type
    returning s.version into version;
  else
    raise exception 'expected_version is %: it must be a version, 0 (no_stream), -1 (any) or -2 (stream_exists)',
      coalesce(expected_version::text, 'null') using errcode = 'PK004';
  end if;

  if version is not null then
    if current_setting('penstock.floor_held', true) is distinct from pg_current_xact_id()::text
      and (pg_advisory_xact_lock_shared(
          (20563::bigint << 48) | coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0)) is null
        or set_config('penstock.floor_held', pg_current_xact_id()::text, true) is null)
    then
      raise exception 'the floor could not be published';
    end if;

    with inserted as (
      insert into public.event_store as e
        (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
      select
        nextval('public.event_store_position_seq'), sent.id, aggregate_type, aggregate_id, sent.event_type, sent.payload,
        case
          when sent.metadata ?& '{correlation_id,causation_id,actor,source,occurred_at}' then sent.metadata
          else ops.complete_metadata(coalesce(sent.metadata, '{}'), sent.id)
        end,
        version - number + sent.place, coalesce(sent.schema_version, 1)
      from unnest(ids, event_types, payloads, metadatas, schema_versions)
        with ordinality as sent (id, event_type, payload, metadata, schema_version, place)
      on conflict on constraint event_store_id_key do nothing
      returning e.position
    )
    select array_agg(i.position), count(*) into positions, appended from inserted as i;
    if appended = number then
      duplicate := false;
      return;
    end if;
  end if;

  duplicate := true;
  select r.version, r.positions into version, positions
  from ops.answer_retry(aggregate_type, aggregate_id, expected_version, appended, ids, event_types, payloads,
    coalesce(schema_versions, array_fill(1, array[number]))) as r;
end $$;
comment on function public.append_events(text, text, integer, uuid[], text[], jsonb[], jsonb[], integer[]) is
  'Append events of one stream, all or nothing. Same rules and errors as append_event; `positions` in the order of `ids`.';
revoke execute on function public.append_events(text, text, integer, uuid[], text[], jsonb[], jsonb[], integer[])
  from public, anon, authenticated;
grant execute on function public.append_events(text, text, integer, uuid[], text[], jsonb[], jsonb[], integer[]) to service_role;
