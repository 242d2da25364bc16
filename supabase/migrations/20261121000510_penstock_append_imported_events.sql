-- From staged to stored events, many streams in one call. Staged is a table staging.import_<id>_events, each row of which
-- has its events' metadata already.
--   penstock.lock_imported_streams   lock the stream rows of a range
--   penstock.append_new_streams  append rows each of which begins a stream, or nothing if a stream was there
--   penstock.append_imported_events   the one way in: classify a range of rows of any streams, then append the new ones
-- Stream rows are locked before anything is classified: the import that inserts one has won the stream, and two imports
-- of one file at once cannot both append an order. Stream rows are locked in the one order
-- of 20261121000110_penstock_streams.sql. For the owner alone: what else may write to the store goes by append_events.
-- Dynamic where the staged table is read or written, since its name is a parameter: to hand the rows of new streams over
-- would copy each payload once more. What a row is, is decided in 20261121000506_penstock_classify_imported_events.sql.

create function penstock.lock_imported_streams(staged regclass, after bigint, upto bigint) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- `where false`: a stream row that exists is locked and left as it is. Two statements, one for new rows and one for the
  -- others, would take them in two orders.
  execute format(
    'insert into penstock.streams as s (aggregate_id, aggregate_type, version)
     select f.aggregate_id, f.aggregate_type, 0 from %s as f where f.n > $1 and f.n <= $2
     group by f.aggregate_id, f.aggregate_type
     order by f.aggregate_id collate "C", f.aggregate_type collate "C"
     on conflict on constraint streams_pkey do update set version = s.version where false', staged) using after, upto;
end $$;
comment on function penstock.lock_imported_streams(regclass, bigint, bigint) is 'Lock the stream rows of a range of staged events; new streams get a row at version 0.';
revoke execute on function penstock.lock_imported_streams(regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.append_new_streams(
  staged regclass, after bigint, upto bigint,
  out lines_loaded bigint, out lines_duplicate bigint, out lines_in_conflict bigint,
  out facts_loaded bigint, out events bigint
)
language plpgsql volatile
set search_path = ''
set jit = off
-- a fresh table has no statistics worth the name: guesses would end in nested loops
set enable_nestloop = off
set enable_mergejoin = off
set work_mem = '64MB'
as $$
declare
  contradictory boolean;
begin
  execute format('select exists (select from %s as f where f.n > $1 and f.n <= $2 and f.event_type is null)', staged)
  into contradictory using after, upto;
  if contradictory then
    return;
  end if;
  begin -- to hope that all streams are new costs half of what it costs to ask
    execute format(
      'insert into penstock.streams (aggregate_id, aggregate_type, version)
       select f.aggregate_id, f.aggregate_type, 1 + cardinality(f.more)
       from %s as f where f.n > $1 and f.n <= $2
       order by f.aggregate_id collate "C", f.aggregate_type collate "C"', staged) using after, upto;
  exception when unique_violation then
    return;
  end;
  perform penstock.publish_floor();
  execute format(
    'select coalesce(sum(f.lines), 0), count(*) from %s as f where f.n > $1 and f.n <= $2', staged)
  into lines_loaded, facts_loaded using after, upto;

  execute format(
    'insert into public.event_store
       (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
     select nextval(''public.event_store_position_seq''),
       -- what penstock.imported_event_id gives, which costs three times as much to call
       (g.id_begin || overlay(left(md5(
         concat_ws(E''\x1f'', g.aggregate_type, g.aggregate_id, t.event_type, '''')), 18) placing ''8'' from 4 for 0)
       )::uuid,
       g.aggregate_type, g.aggregate_id, t.event_type,
       case when t.version = 1 then g.payload else coalesce(g.more_details[t.version - 1] -> ''payload'', ''{}'') end,
       case when t.version = 1 or g.more_details is null then g.event_metadata
         else g.event_metadata || coalesce(g.more_details[t.version - 1] -> ''metadata'', ''{}'') end,
       t.version, case when t.version = 1 then g.schema_version else 1 end
     from (
       select
         f.aggregate_type, f.aggregate_id, f.event_type || f.more as event_types, f.more_details, f.payload, f.schema_version,
         f.event_metadata,
         lpad(to_hex(greatest(0, (extract(epoch from f.occurred_at) * 1000)::bigint)), 12, ''0'') || ''8'' as id_begin
       from %1$s as f
       where f.n > $1 and f.n <= $2
       order by f.n -- the lateral join keeps the order; to sort the events would copy each payload once more
       offset 0
     ) as g
     cross join lateral unnest(g.event_types) with ordinality as t (event_type, version)', staged)
  using after, upto;
  get diagnostics events = row_count;

  lines_duplicate := 0;
  lines_in_conflict := 0;
end $$;
comment on function penstock.append_new_streams(regclass, bigint, bigint) is
  'Append a range of staged events each of which begins a stream, and count them; nothing, and nulls, if one of the streams is there, or if lines of a row contradict each other (it has no event type).';
revoke execute on function penstock.append_new_streams(regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.drop_unused_streams(staged regclass, after bigint, upto bigint) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  unused_id text;
  unused_type text;
begin
  -- one by one, each by the index: a conflict is rare, and a join could read the rows of all streams
  for unused_id, unused_type in execute format(
    'select distinct f.aggregate_id, f.aggregate_type from %s as f where f.n > $1 and f.n <= $2 and f.outcome in (''conflict'', ''orphan'')',
    staged) using after, upto
  loop
    delete from penstock.streams as s
    where s.aggregate_id = unused_id and s.aggregate_type = unused_type and s.version = 0;
  end loop;
end $$;
comment on function penstock.drop_unused_streams(regclass, bigint, bigint) is 'Delete the stream rows that were inserted for staged events that are all in conflict, or orphans.';
revoke execute on function penstock.drop_unused_streams(regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.append_imported_events(
  import_id uuid, staged regclass, after bigint, upto bigint, repeat text,
  amended text default null, merge regproc default null, removed text[] default null, needs text default null,
  out lines_loaded bigint, out lines_duplicate bigint, out lines_in_conflict bigint,
  out facts_loaded bigint, out events bigint
)
language plpgsql volatile
set search_path = ''
set jit = off
-- a fresh table has no statistics worth the name: guesses would end in nested loops
set enable_nestloop = off
set enable_mergejoin = off
set work_mem = '64MB'
as $$
begin
  if repeat = 'stream' then -- the only form that can hope for new streams alone, and so skip the locks and the look
    select n.lines_loaded, n.lines_duplicate, n.lines_in_conflict, n.facts_loaded, n.events
    into lines_loaded, lines_duplicate, lines_in_conflict, facts_loaded, events
    from penstock.append_new_streams(staged, after, upto) as n;
    if events is not null then
      return;
    end if;
  end if;
  perform penstock.lock_imported_streams(staged, after, upto);
  -- a statement of its own: its snapshot must be younger than the locks
  perform penstock.classify_imported_events(import_id, staged, after, upto, repeat, amended, merge, removed, needs);
  perform penstock.publish_floor();

  execute format(
    'with new_events as (
       select f.*, 1 + cardinality(f.more) as size,
         sum(1 + cardinality(f.more)) over (partition by f.aggregate_type, f.aggregate_id order by f.n) as reaches
       from %1$s as f where f.n > $1 and f.n <= $2 and f.outcome in (''new'', ''amended'')
     ), added as (
       select g.aggregate_id, g.aggregate_type, sum(g.size)::integer as size from new_events as g group by 1, 2
     ), stream_rows as ( -- the rows are there and locked; an update that joins would read the rows of all streams
       insert into penstock.streams as s (aggregate_id, aggregate_type, version)
       select a.aggregate_id, a.aggregate_type, a.size from added as a
       on conflict on constraint streams_pkey do update set version = s.version + excluded.version
       returning s.aggregate_id, s.aggregate_type, s.version
     )
     insert into public.event_store
       (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
     select nextval(''public.event_store_position_seq''), q.id, q.aggregate_type, q.aggregate_id, q.event_type,
       q.payload, q.metadata, q.version, q.schema_version
     from (
       select
         case when t.place = 1 and g.id is not null then g.id else penstock.imported_event_id(g.aggregate_type, g.aggregate_id,
           t.event_type, g.occurred_at, concat_ws(''/'', $3, g.first_ord, t.place))
         end as id,
         g.aggregate_type, g.aggregate_id, t.event_type,
         case when t.place = 1 then g.payload else coalesce(g.more_details[t.place - 1] -> ''payload'', ''{}'') end as payload,
         case when t.place = 1 then g.event_metadata
           else g.event_metadata || coalesce(g.more_details[t.place - 1] -> ''metadata'', ''{}'') end as metadata,
         h.version - a.size + g.reaches - g.size + t.place as version,
         case when t.place = 1 then g.schema_version else 1 end as schema_version
       from new_events as g
       join added as a on a.aggregate_id = g.aggregate_id and a.aggregate_type = g.aggregate_type
       join stream_rows as h on h.aggregate_id = g.aggregate_id and h.aggregate_type = g.aggregate_type
       cross join unnest(g.event_type || g.more) with ordinality as t (event_type, place)
       order by g.n, t.place
     ) as q', staged) using after, upto, import_id;

  select c.lines_loaded, c.lines_duplicate, c.lines_in_conflict, c.facts_loaded, c.events
  into lines_loaded, lines_duplicate, lines_in_conflict, facts_loaded, events
  from penstock.count_outcomes(staged, after, upto) as c;
  if lines_in_conflict > 0 then
    perform penstock.drop_unused_streams(staged, after, upto);
  end if;
end $$;
comment on function penstock.append_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text[], text) is
  'Append a range of staged events to their streams, exactly once, in the order of the file; counts what became of their lines.';
revoke execute on function penstock.append_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text[], text) from public, anon, authenticated;
