-- From staged to stored events, many streams in one call. Staged is a table staging.import_<id>_events, each row of which
-- has its events' metadata already.
--   penstock.classify_imported_events    what each row is: new, a duplicate, amending, or in conflict with what is stored
--   penstock.append_new_streams  append rows each of which begins a stream, or nothing if a stream was there
--   penstock.append_imported_events   the one way in: classify a range of rows of any streams, then append the new ones
-- Stream rows are locked before anything is classified: the import that inserts one has won the stream, and two imports
-- of one file at once cannot both append an order. Stream rows are locked in the one order
-- of 20261121000110_penstock_streams.sql. For the owner alone: what else may write to the store goes by append_events.
-- Dynamic where the staged table is read or written, since its name is a parameter: to hand the rows of new streams over
-- would copy each payload once more. What a row is, is decided in static SQL.

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

create type penstock.imported_event as (
  n bigint, first_ord bigint, aggregate_type text, aggregate_id text, id uuid, event_type text,
  occurred_at timestamptz, payload jsonb, event_metadata jsonb
);
comment on type penstock.imported_event is 'A row of a table staging.import_<id>_events, as far as it says what the event is.';

-- Dynamic, since the table is a parameter; what reads these rows need not be.
create function penstock.staged_events(staged regclass, after bigint, upto bigint) returns setof penstock.imported_event
language plpgsql stable rows 100000
set search_path = ''
as $$
begin
  return query execute format(
    'select f.n, f.first_ord, f.aggregate_type, f.aggregate_id, f.id, f.event_type, f.occurred_at, f.payload, f.event_metadata
     from %s as f where f.n > $1 and f.n <= $2', staged) using after, upto;
end $$;
comment on function penstock.staged_events(regclass, bigint, bigint) is 'A range of an import''s staged events.';
revoke execute on function penstock.staged_events(regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.classify_by_stream(
  import_id uuid, staged regclass, after bigint, upto bigint, amended text default null, removed text default null
)
returns table (n bigint, outcome text, loaded_as text, stored jsonb)
language sql stable rows 100000
set search_path = ''
as $$
  -- a row says what its stream is; the stream's latest event that says so may say the same, or something else
  select g.n, case
      when coalesce(s.version, 0) = 0 then 'new'
      when own.event_type is not null then 'loaded'
      when latest.event_type = removed then 'new'
      when latest.payload = g.payload then 'duplicate'
      else 'conflict'
    end,
    own.event_type, latest.payload
  from penstock.staged_events(staged, after, upto) as g
  left join penstock.streams as s on s.aggregate_id = g.aggregate_id and s.aggregate_type = g.aggregate_type
  left join lateral (
    select e.event_type, e.payload
    from public.current_events as e
    where e.aggregate_id = g.aggregate_id and e.aggregate_type = g.aggregate_type
      and (e.event_type = g.event_type or e.event_type = amended or e.event_type = removed)
    order by e.version desc
    limit 1
  ) as latest on s.version > 0
  -- by this import, however others have amended it since
  left join lateral (
    select e.event_type
    from public.event_store as e
    where e.aggregate_id = g.aggregate_id and e.aggregate_type = g.aggregate_type
      and (e.event_type = g.event_type or e.event_type = amended)
      and e.metadata ->> 'correlation_id' = import_id::text
    limit 1
  ) as own on s.version > 0
$$;
comment on function penstock.classify_by_stream(uuid, regclass, bigint, bigint, text, text) is
  'What each row of a range is, if it says what its stream is; and what the stream says now.';
revoke execute on function penstock.classify_by_stream(uuid, regclass, bigint, bigint, text, text) from public, anon, authenticated;

create function penstock.classify_by_latest(import_id uuid, staged regclass, after bigint, upto bigint)
returns table (n bigint, outcome text)
language sql stable rows 100000
set search_path = ''
as $$
  -- a row is a state: nothing new if the stream, or the line before in this file, says the same
  select g.n, case
    when g.stored is not null then 'loaded'
    when g.payload = g.known then 'duplicate'
    else 'new'
  end
  from (
    select
      h.n, h.payload,
      (
        select e.version from public.event_store as e
        where e.id = penstock.imported_event_id(h.aggregate_type, h.aggregate_id, h.event_type, h.occurred_at,
          concat_ws('/', import_id, h.first_ord, 1))
      ) as stored,
      coalesce(
        lag(h.payload) over (partition by h.aggregate_type, h.aggregate_id order by h.n),
        (
          select e.payload from public.event_store as e
          where e.aggregate_id = h.aggregate_id and e.aggregate_type = h.aggregate_type and e.event_type = h.event_type
            and not exists (select from penstock.undone_events as u where u.id = e.id)
          order by e.version desc
          limit 1
        )
      ) as known
    from penstock.staged_events(staged, after, upto) as h
  ) as g
$$;
comment on function penstock.classify_by_latest(uuid, regclass, bigint, bigint) is 'What each row of a range is, if it is a state.';
revoke execute on function penstock.classify_by_latest(uuid, regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.classify_by_id(import_id uuid, staged regclass, after bigint, upto bigint)
returns table (n bigint, outcome text)
language sql stable rows 100000
set search_path = ''
as $$
  -- a row has an id of its own; the same id in another stream or of another type is another event
  select f.n, case
    when f.place = 1 and e.id is null then 'new'
    when e.id is null and f.payload = f.first_payload and f.event_type = f.first_type
      and f.aggregate_id = f.first_aggregate_id and f.aggregate_type = f.first_aggregate_type then 'duplicate'
    when e.aggregate_id = f.aggregate_id and e.aggregate_type = f.aggregate_type
      and e.event_type = f.event_type and e.payload = f.payload
    -- the cause is this very line: of an id that comes again in the file, the first one only was loaded
    then case when e.metadata ->> 'causation_id' = f.event_metadata ->> 'causation_id' then 'loaded' else 'duplicate' end
    else 'conflict'
  end
  from (
    select
      h.*, row_number() over same_id as place, first_value(h.payload) over same_id as first_payload,
      first_value(h.event_type) over same_id as first_type,
      first_value(h.aggregate_id) over same_id as first_aggregate_id,
      first_value(h.aggregate_type) over same_id as first_aggregate_type
    from penstock.staged_events(staged, after, upto) as h
    window same_id as (partition by h.id order by h.n)
  ) as f
  left join public.event_store as e on e.id = f.id
$$;
comment on function penstock.classify_by_id(uuid, regclass, bigint, bigint) is 'What each row of a range is, if it has an id of its own.';
revoke execute on function penstock.classify_by_id(uuid, regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.amend_streams(
  import_id uuid, staged regclass, after bigint, upto bigint, amended text, merge regproc, removed text
)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  -- what the stream says and what the row says become what holds from now on: nothing new, or the amended payload
  execute format(
    'with classified as materialized (
       select c.*, case when c.outcome = ''conflict'' and c.stored is not null then %s(c.stored, f.payload) end as merged
       from penstock.classify_by_stream($1, $2, $3, $4, $5, $6) as c
       join %s as f on f.n = c.n
     ), decided as (
       select c.n, c.merged, case
           when c.outcome <> ''conflict'' or c.stored is null or jsonb_typeof(c.merged) = ''null'' then c.outcome
           when c.merged is null then ''duplicate''
           else ''amended''
         end as outcome, c.outcome = ''loaded'' and c.loaded_as = $5 as was_amended
       from classified as c
     )
     update %s as f set
       outcome = d.outcome,
       event_type = case when d.outcome = ''amended'' or d.was_amended then $5 else f.event_type end,
       more = case when d.outcome = ''amended'' or d.was_amended then ''{}'' else f.more end,
       payload = case when d.outcome = ''amended'' then d.merged -> ''payload'' else f.payload end,
       known = case when d.outcome = ''amended'' then (d.merged ->> ''known'')::bigint else 0 end
     from decided as d where f.n = d.n', merge, staged, staged
  ) using import_id, staged, after, upto, amended, removed;
end $$;
comment on function penstock.amend_streams(uuid, regclass, bigint, bigint, text, regproc, text) is
  'Set `outcome` of a range of staged events that say what their streams are; those that say it otherwise become events of the type `amended`. `merge(stored, given)` gives the `payload` and how many lines of the file were `known`; null if nothing is new, a JSON null if the two cannot be one.';
revoke execute on function penstock.amend_streams(uuid, regclass, bigint, bigint, text, regproc, text) from public, anon, authenticated;

create function penstock.renew_undone_ids(staged regclass, after bigint, upto bigint) returns void
language plpgsql volatile
set search_path = ''
as $$
declare
  renewed bigint;
begin
  loop
    execute format(
      'update %s as f set id = (left(f.id::text, 14) || ''8'' || substr(md5(f.id::text), 1, 3) || ''8'' || substr(md5(f.id::text), 4, 15))::uuid
       where f.n > $1 and f.n <= $2 and exists (select from penstock.undone_events as u where u.id = f.id)', staged)
    using after, upto;
    get diagnostics renewed = row_count;
    exit when renewed = 0;
  end loop;
end $$;
comment on function penstock.renew_undone_ids(regclass, bigint, bigint) is
  'Give staged events whose ids belong to events that were taken back another id, the same in every run: they may be loaded again.';
revoke execute on function penstock.renew_undone_ids(regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.classify_imported_events(
  import_id uuid, staged regclass, after bigint, upto bigint, repeat text,
  amended text default null, merge regproc default null, removed text default null
)
returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  if repeat = 'stream' and amended is not null then
    perform penstock.amend_streams(import_id, staged, after, upto, amended, merge, removed);
    return;
  elsif repeat = 'id' then
    perform penstock.renew_undone_ids(staged, after, upto);
  end if;
  execute format(
    'update %s as f set outcome = c.outcome from penstock.%s as c where f.n = c.n', staged,
    case repeat
      when 'stream' then 'classify_by_stream($1, $2, $3, $4, null, $5)'
      when 'latest' then 'classify_by_latest($1, $2, $3, $4)'
      when 'id' then 'classify_by_id($1, $2, $3, $4)'
    end
  ) using import_id, staged, after, upto, removed;
end $$;
comment on function penstock.classify_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text) is
  'Set `outcome` of a range of staged events: new, loaded (by this import, before a crash), amended, duplicate or conflict. `removed`: the type of event after which a stream begins once more.';
revoke execute on function penstock.classify_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text) from public, anon, authenticated;

create function penstock.count_outcomes(
  staged regclass, after bigint, upto bigint,
  out lines_loaded bigint, out lines_duplicate bigint, out lines_in_conflict bigint,
  out facts_loaded bigint, out events bigint
)
language plpgsql volatile
set search_path = ''
as $$
begin
  execute format(
    'select
       coalesce(sum(f.lines - f.known) filter (where f.outcome in (''new'', ''loaded'', ''amended'')), 0),
       coalesce(sum(case f.outcome when ''duplicate'' then f.lines else f.known end), 0),
       coalesce(sum(f.lines) filter (where f.outcome = ''conflict''), 0),
       count(*) filter (where f.outcome in (''new'', ''loaded'', ''amended'')),
       coalesce(sum(1 + cardinality(f.more)) filter (where f.outcome in (''new'', ''loaded'', ''amended'')), 0)
     from %s as f where f.n > $1 and f.n <= $2', staged)
  into lines_loaded, lines_duplicate, lines_in_conflict, facts_loaded, events using after, upto;
end $$;
comment on function penstock.count_outcomes(regclass, bigint, bigint) is 'What became of the lines of a range of classified events.';
revoke execute on function penstock.count_outcomes(regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.append_new_streams(
  staged regclass, after bigint, upto bigint,
  out lines_loaded bigint, out lines_duplicate bigint, out lines_in_conflict bigint,
  out facts_loaded bigint, out events bigint
)
language plpgsql volatile
set search_path = ''
-- a fresh table has no statistics worth the name: guesses would end in nested loops
set enable_nestloop = off
set enable_mergejoin = off
set work_mem = '64MB'
as $$
declare
begin
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
       case when t.version = 1 then g.payload else ''{}''::jsonb end, g.event_metadata,
       t.version, case when t.version = 1 then g.schema_version else 1 end
     from (
       select
         f.aggregate_type, f.aggregate_id, f.event_type || f.more as event_types, f.payload, f.schema_version,
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
  'Append a range of staged events each of which begins a stream, and count them; nothing, and nulls, if one of the streams is there.';
revoke execute on function penstock.append_new_streams(regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.append_imported_events(
  import_id uuid, staged regclass, after bigint, upto bigint, repeat text,
  amended text default null, merge regproc default null, removed text default null,
  out lines_loaded bigint, out lines_duplicate bigint, out lines_in_conflict bigint,
  out facts_loaded bigint, out events bigint
)
language plpgsql volatile
set search_path = ''
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
  perform penstock.classify_imported_events(import_id, staged, after, upto, repeat, amended, merge, removed);
  perform penstock.publish_floor();

  execute format(
    'with new_events as (
       select f.*, 1 + cardinality(f.more) as size,
         sum(1 + cardinality(f.more)) over (partition by f.aggregate_type, f.aggregate_id order by f.n) as reaches
       from %1$s as f where f.n > $1 and f.n <= $2 and f.outcome in (''new'', ''amended'')
     ), stream_rows as (
       update penstock.streams as s set version = s.version + added.size
       from (select g.aggregate_id, g.aggregate_type, sum(g.size)::integer as size from new_events as g group by 1, 2) as added
       where s.aggregate_id = added.aggregate_id and s.aggregate_type = added.aggregate_type
       returning s.aggregate_id, s.aggregate_type, s.version - added.size as before
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
         case when t.place = 1 then g.payload else ''{}''::jsonb end as payload,
         g.event_metadata as metadata,
         h.before + g.reaches - g.size + t.place as version,
         case when t.place = 1 then g.schema_version else 1 end as schema_version
       from new_events as g
       join stream_rows as h on h.aggregate_id = g.aggregate_id and h.aggregate_type = g.aggregate_type
       cross join unnest(g.event_type || g.more) with ordinality as t (event_type, place)
       order by g.n, t.place
     ) as q', staged) using after, upto, import_id;

  -- stream rows inserted for staged events that were all in conflict
  execute format(
    'delete from penstock.streams as s using %s as f
     where f.n > $1 and f.n <= $2 and s.aggregate_id = f.aggregate_id and s.aggregate_type = f.aggregate_type
       and s.version = 0', staged) using after, upto;

  select c.lines_loaded, c.lines_duplicate, c.lines_in_conflict, c.facts_loaded, c.events
  into lines_loaded, lines_duplicate, lines_in_conflict, facts_loaded, events
  from penstock.count_outcomes(staged, after, upto) as c;
end $$;
comment on function penstock.append_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text) is
  'Append a range of staged events to their streams, exactly once, in the order of the file; counts what became of their lines.';
revoke execute on function penstock.append_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text) from public, anon, authenticated;
