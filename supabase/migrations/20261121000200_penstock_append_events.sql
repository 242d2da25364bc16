-- Appending. One call is one stream, one transaction, all or nothing.
--   append_event    one event, the fast path
--   append_events   any number of events of one stream
-- `expected_version`: n >= 1 the stream is at n; 0 it does not exist; -1 anything; -2 it exists.
-- Retries: the same ids with the same content answer as the first time (`duplicate`), whatever came since.
-- SQLSTATEs, with numbers as JSON in DETAIL:
--   PK001 the stream is at another version   PK002 an id is taken by another event
--   PK003 only a part of the ids is stored   PK004 the arguments are wrong
--   PK008 the sequence of positions is behind what is stored
-- `security definer`: nobody but the owner may insert into the store, so that versions and positions cannot be forged.

create function penstock.validate_event(
  aggregate_type text, aggregate_id text, event_type text, payload jsonb, metadata jsonb, schema_version integer,
  event_id uuid
) returns jsonb
language plpgsql volatile
set search_path = ''
as $$
declare
  fault constant text := case
    when aggregate_type = '' or length(aggregate_type) > 100 then 'aggregate_type must have 1 to 100 characters'
    when aggregate_id = '' or length(aggregate_id) > 200 then 'aggregate_id must have 1 to 200 characters'
    when event_type = '' or length(event_type) > 200 then 'event_type must have 1 to 200 characters'
    when jsonb_typeof(payload) <> 'object' then 'payload must be a JSON object'
    when jsonb_typeof(metadata) <> 'object' then 'metadata must be a JSON object'
    when schema_version < 1 then 'schema_version must be at least 1'
  end;
begin
  if fault is not null then
    raise exception '%', fault using errcode = 'PK004', column = split_part(fault, ' ', 1);
  end if;
  return jsonb_build_object(
    'correlation_id', event_id, 'causation_id', null, 'actor', session_user, 'source', 'sql', 'occurred_at', now()
  ) || coalesce(metadata, '{}');
end $$;
comment on function penstock.validate_event(text, text, text, jsonb, jsonb, integer, uuid) is
  'Refuse what is not a valid event (PK004), else give its metadata with what every event carries filled in. The hot path asks only in doubt.';
revoke execute on function penstock.validate_event(text, text, text, jsonb, jsonb, integer, uuid) from public, anon, authenticated;

create function penstock.resolve_duplicate(
  aggregate_type text, aggregate_id text, expected_version integer, appended integer,
  ids uuid[], event_types text[], payloads jsonb[], schema_versions integer[],
  out version integer, out positions bigint[]
)
language plpgsql volatile
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
  -- with repeated ids inside one call the second is in the store because of the first: nothing to answer from
  if number > (select count(distinct sent.id) from unnest(ids) as sent (id)) then
    raise exception 'an event id appears twice in one call' using errcode = 'PK004';
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
    select s.version into actual from penstock.streams as s
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

  if appended is not null then -- the stream row was updated before the repeated ids were seen: put it back
    update penstock.streams as s set version = s.version - number
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type;
  end if;
end $$;
comment on function penstock.resolve_duplicate(text, text, integer, integer, uuid[], text[], jsonb[], integer[]) is
  'The cold path of an append: answers a repeated call as the first time, or raises what is in the way. `appended`: null if the stream row was not updated.';
revoke execute on function penstock.resolve_duplicate(text, text, integer, integer, uuid[], text[], jsonb[], integer[])
  from public, anon, authenticated;

create function penstock.refuse_position() returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  highest constant bigint := (select max(e.position) from public.event_store as e);
  reached constant bigint := coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0);
begin
  raise exception 'the sequence of positions is at %, behind the stored position %: nothing is appended until it is mended',
    reached, highest
    using errcode = 'PK008', hint = 'As the owner: select ops.raise_positions();',
      detail = jsonb_build_object('sequence', reached, 'stored', highest);
end $$;
comment on function penstock.refuse_position() is 'Raises PK008, from within an expression: readers may have passed the next position already.';
revoke execute on function penstock.refuse_position() from public, anon, authenticated;

create function ops.raise_positions(above bigint default 0) returns bigint
language plpgsql volatile
set search_path = ''
as $$
#variable_conflict use_variable
declare
  passed bigint;
begin
  lock table penstock.streams in share row exclusive mode; -- waits for appends in flight, and keeps others out
  select greatest(
    above, 0,
    (select max(e.position) from public.event_store as e),
    (select max(s.position) from ops.subscriptions as s),
    pg_sequence_last_value('public.event_store_position_seq')
  ) into passed;
  if passed > 0 then
    perform setval('public.event_store_position_seq', passed);
  end if;
  return passed;
end $$;
comment on function ops.raise_positions(bigint) is
  'Set the sequence of positions above all that is stored, all that a checkpoint has passed, and `above`; never lowers it. After a failover or a restore.';
revoke execute on function ops.raise_positions(bigint) from public, anon, authenticated;

create function penstock.publish_floor() returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  floor bigint;
begin
  if (
    select e.position from public.event_store as e
    where e.position > (select coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0))
    order by e.position limit 1
  ) is not null then
    perform penstock.refuse_position();
  end if;
  -- Once a transaction, or a long one would run out of locks. The mark names the transaction, so that a setting left in
  -- a session is not taken for one; a rolled back savepoint takes lock and mark back together.
  if current_setting('penstock.floor_published', true) is distinct from pg_current_xact_id()::text then
    -- readers count a floor only beside this lock, which nobody gets who may not append
    lock table penstock.streams in row exclusive mode;
    floor := coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0);
    -- Never wait: anybody may hold this key exclusively. A lower floor is as true, and nobody can hold all of them.
    while not pg_try_advisory_xact_lock_shared((20563::bigint << 48) | (floor & ((1::bigint << 48) - 1))) loop
      floor := floor - 1 - floor(random() * 1000000)::bigint;
    end loop;
    perform set_config('penstock.floor_published', pg_current_xact_id()::text, true);
  end if;
end $$;
comment on function penstock.publish_floor() is 'Publish the floor below which this transaction draws no position, or raise PK008 if the sequence is behind. Call it before nextval.';
revoke execute on function penstock.publish_floor() from public, anon, authenticated;

-- A named type, because a list of OUT parameters is resolved again at each call.
create type public.appended as (version integer, "position" bigint, duplicate boolean);
comment on type public.appended is 'The stream''s version after an append, the event''s place in the store, and whether it was stored before.';

create function public.append_event(
  aggregate_type text, aggregate_id text, expected_version integer,
  id uuid, event_type text, payload jsonb, metadata jsonb default '{}', schema_version integer default 1
) returns public.appended
language plpgsql volatile
security definer
set search_path = ''
as $$
#variable_conflict use_variable
declare
  new_transaction constant boolean := pg_current_xact_id_if_assigned() is null;
  version integer;
  "position" bigint;
begin
  -- 1. the stream row: the only lock on which two appends can meet, and only on one stream
  if expected_version > 0 then
    update penstock.streams as s set version = s.version + 1
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type and s.version = expected_version
    returning s.version into version;
  elsif expected_version = 0 then
    if not (length(aggregate_id) between 1 and 200 and length(aggregate_type) between 1 and 100) then
      perform penstock.validate_event(aggregate_type, aggregate_id, null, null, null, null, null);
    end if;
    insert into penstock.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, 1)
    on conflict on constraint streams_pkey do nothing
    returning s.version into version;
  elsif expected_version = -1 then
    if not (length(aggregate_id) between 1 and 200 and length(aggregate_type) between 1 and 100) then
      perform penstock.validate_event(aggregate_type, aggregate_id, null, null, null, null, null);
    end if;
    insert into penstock.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, 1)
    on conflict on constraint streams_pkey do update set version = s.version + 1
    returning s.version into version;
  elsif expected_version = -2 then
    update penstock.streams as s set version = s.version + 1
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type
    returning s.version into version;
  else
    raise exception 'expected_version is %: it must be a version, 0 (no_stream), -1 (any) or -2 (stream_exists)',
      coalesce(expected_version::text, 'null') using errcode = 'PK004';
  end if;

  if version is not null then
    -- 2. In one condition, since plpgsql sets up each again in a transaction: publish the floor before drawing a position
    -- (20261121000300_penstock_read_events.sql says why), and look for what check constraints would. `@> '{}'` says that it is an
    -- object, with one call less than jsonb_typeof. Where the transaction has begun before, or in doubt, ask in full.
    if not (
      new_transaction and pg_try_advisory_xact_lock_shared(
        (20563::bigint << 48) | coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0))
      and metadata ?& '{correlation_id,causation_id,actor,source,occurred_at}' and metadata @> '{}' and payload @> '{}'
      and length(event_type) between 1 and 200 and schema_version > 0
    ) then
      perform penstock.publish_floor();
      metadata := penstock.validate_event(aggregate_type, aggregate_id, event_type, payload, metadata, schema_version, id);
    end if;

    -- 3. The event. What is stored above the sequence's value, which is read after the snapshot, says that the sequence
    -- was set back: readers have passed the next positions. To look above it is to look at the index's empty end; the
    -- order is there for the planner, which would rather scan the table for an `exists`.
    insert into public.event_store as e
      (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
    values (
      case when (
        select stored.position from public.event_store as stored
        where stored.position > (select coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0))
        order by stored.position limit 1
      ) is null then nextval('public.event_store_position_seq') else penstock.refuse_position() end,
      id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version
    )
    on conflict on constraint event_store_id_key do nothing
    returning e.position into "position";
    if found then
      return row(version, "position", false)::public.appended;
    end if;
  end if;

  select r.version, r.positions[1] into version, "position"
  from penstock.resolve_duplicate(aggregate_type, aggregate_id, expected_version, case when version is not null then 0 end,
    array[id], array[event_type], array[payload], array[schema_version]) as r;
  return row(version, "position", true)::public.appended;
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
language plpgsql volatile
security definer
set search_path = ''
as $$
#variable_conflict use_variable
declare
  number constant integer := coalesce(cardinality(ids), 0);
  appended integer;
begin
  if number > 1 and number > (select count(distinct sent.id) from unnest(ids) as sent (id)) then
    raise exception 'an event id appears twice in one call' using errcode = 'PK004';
  elsif number = 0 or number <> all (array[
    cardinality(event_types), cardinality(payloads),
    coalesce(cardinality(metadatas), number), coalesce(cardinality(schema_versions), number)])
  then
    raise exception 'ids, event_types, payloads, metadatas and schema_versions must be as many as there are events, at least one'
      using errcode = 'PK004';
  end if;

  -- as in append_event, to the letter: tests/integration/event_store/test_one_append.py holds the two together
  if expected_version > 0 then
    update penstock.streams as s set version = s.version + number
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type and s.version = expected_version
    returning s.version into version;
  elsif expected_version = 0 then
    if not (length(aggregate_id) between 1 and 200 and length(aggregate_type) between 1 and 100) then
      perform penstock.validate_event(aggregate_type, aggregate_id, null, null, null, null, null);
    end if;
    insert into penstock.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, number)
    on conflict on constraint streams_pkey do nothing
    returning s.version into version;
  elsif expected_version = -1 then
    if not (length(aggregate_id) between 1 and 200 and length(aggregate_type) between 1 and 100) then
      perform penstock.validate_event(aggregate_type, aggregate_id, null, null, null, null, null);
    end if;
    insert into penstock.streams as s (aggregate_id, aggregate_type, version) values (aggregate_id, aggregate_type, number)
    on conflict on constraint streams_pkey do update set version = s.version + number
    returning s.version into version;
  elsif expected_version = -2 then
    update penstock.streams as s set version = s.version + number
    where s.aggregate_id = aggregate_id and s.aggregate_type = aggregate_type
    returning s.version into version;
  else
    raise exception 'expected_version is %: it must be a version, 0 (no_stream), -1 (any) or -2 (stream_exists)',
      coalesce(expected_version::text, 'null') using errcode = 'PK004';
  end if;

  if version is not null then
    perform penstock.publish_floor();
    with inserted as (
      insert into public.event_store as e
        (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
      select
        nextval('public.event_store_position_seq'), sent.id, aggregate_type, aggregate_id, sent.event_type, sent.payload,
        case
          when sent.metadata ?& '{correlation_id,causation_id,actor,source,occurred_at}'
            and sent.metadata @> '{}' and sent.payload @> '{}' and length(sent.event_type) between 1 and 200
            and coalesce(sent.schema_version, 1) > 0
          then sent.metadata
          else penstock.validate_event(aggregate_type, aggregate_id, sent.event_type, sent.payload, sent.metadata,
            sent.schema_version, sent.id)
        end,
        version - number + sent.place, coalesce(sent.schema_version, 1)
      from unnest(ids, event_types, payloads, metadatas, schema_versions)
        with ordinality as sent (id, event_type, payload, metadata, schema_version, place)
      -- One look for all ids is cheaper than `on conflict` for each. The stream row is locked, so that a duplicate of this call on
      -- this stream has committed before the look, or waits.
      where not exists (select from public.event_store as stored where stored.id = any(ids))
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
  from penstock.resolve_duplicate(aggregate_type, aggregate_id, expected_version, appended, ids, event_types, payloads,
    coalesce(schema_versions, array_fill(1, array[number]))) as r;
end $$;
comment on function public.append_events(text, text, integer, uuid[], text[], jsonb[], jsonb[], integer[]) is
  'Append events of one stream, all or nothing. Same rules and errors as append_event; `positions` in the order of `ids`.';
revoke execute on function public.append_events(text, text, integer, uuid[], text[], jsonb[], jsonb[], integer[])
  from public, anon, authenticated;
grant execute on function public.append_events(text, text, integer, uuid[], text[], jsonb[], jsonb[], integer[]) to service_role;
