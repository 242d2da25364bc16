-- Reading, and the rule by which no reader ever skips an event.
--   read_stream   one stream by version       read_events   the whole store by position
-- Positions are drawn before the commit, so a lower one can become visible after a higher one: a reader that trusts
-- `position > checkpoint` loses events. The rule here, "append floors": before it draws a position, an append takes
-- a shared advisory lock whose key carries the sequence value that it saw; its positions will all be above that value.
-- A reader takes the sequence value, then the lowest append floor, and reads no further than the lower of the two.
-- Appends never wait for each other or for readers, and readers stall behind nothing but an append in flight.
-- Both read public.current_events, so that old payloads arrive in their newest version.

create function penstock.high_water_mark() returns bigint
language plpgsql volatile
set search_path = ''
as $$
declare
  highest bigint;
  lowest_floor bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'high_water_mark needs read committed: a fixed snapshot is older than the locks it would look at'
      using errcode = 'PK004';
  end if;
  if pg_is_in_recovery() then
    raise exception 'high_water_mark needs the primary: a standby does not know which appends are in flight'
      using errcode = 'PK004';
  end if;
  -- the order matters: an append that this misses among the locks draws its positions above `highest`
  highest := coalesce(pg_sequence_last_value('public.event_store_position_seq'), 0);
  -- Any login may take any advisory lock. To hold this lock on the stream rows takes the right to write them: no role has it,
  -- and the functions that append use their owner's. So beside it a floor is one.
  select min(h.floor) into lowest_floor
  from (
    select min(((l.classid::bigint << 48) | (l.objid::bigint << 16)) >> 16) -- the lower 48 bits, with their sign
        filter (where l.locktype = 'advisory') as floor
    from pg_catalog.pg_locks as l
    where l.granted
      and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
      and (
        (l.locktype = 'advisory' and l.objsubid = 1 and (l.classid::bigint >> 16) = 20563)
        or (l.locktype = 'relation' and l.relation = 'penstock.streams'::regclass and l.mode = 'RowExclusiveLock')
      )
    group by l.pid, l.virtualtransaction -- a prepared transaction has no pid
    having bool_or(l.locktype = 'relation')
  ) as h;
  return greatest(0, least(highest, lowest_floor));
end $$;
comment on function penstock.high_water_mark() is
  'The position up to which everything is visible to statements that start after this one. Call it in a statement of its own.';
revoke execute on function penstock.high_water_mark() from public, anon, authenticated;
grant execute on function penstock.high_water_mark() to service_role, analyst;

create function public.read_stream(
  aggregate_type text, aggregate_id text, after_version integer default 0, max_count integer default 1000
) returns setof public.event_store
language sql stable
set search_path = ''
as $$
  select e.*
  from public.current_events as e
  where e.aggregate_id = read_stream.aggregate_id and e.aggregate_type = read_stream.aggregate_type
    and e.version > after_version
  order by e.version
  limit max_count
$$;
comment on function public.read_stream(text, text, integer, integer) is 'Events of one stream after a version, in order.';
revoke execute on function public.read_stream(text, text, integer, integer) from public, anon, authenticated;
grant execute on function public.read_stream(text, text, integer, integer) to service_role, analyst;

create function public.read_events(
  after bigint default 0, max_count integer default 1000, event_types text[] default null
) returns setof public.event_store
language plpgsql volatile
set search_path = ''
as $$
declare
  safe constant bigint := penstock.high_water_mark();
begin
  -- a statement of its own, so that its snapshot is younger than the floors; in one statement events get lost
  return query
  select e.*
  from public.current_events as e
  where e.position > after and e.position <= safe and (event_types is null or e.event_type = any(event_types))
  order by e.position
  limit max_count;
end $$;
comment on function public.read_events(bigint, integer, text[]) is
  'Events of the whole store after a position, in order, never skipping one that is still being committed.';
revoke execute on function public.read_events(bigint, integer, text[]) from public, anon, authenticated;
grant execute on function public.read_events(bigint, integer, text[]) to service_role, analyst;
