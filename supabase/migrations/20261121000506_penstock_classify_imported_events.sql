-- What a row of an import is: new, a duplicate, amending what is stored, or in conflict with it. The rows are staged, in a
-- table staging.import_<id>_events; what is made of them is in 20261121000510_penstock_append_imported_events.sql.
--   penstock.staged_events   the rows, for static SQL
--   penstock.classify_by_…   one rule for each way of recognising what is stored already
--   penstock.amend_streams   what the store says otherwise becomes an event that amends it
--   penstock.classify_imported_events   by the rule of the import's target, then penstock.continue_streams (…0507) where it needs it
-- For the owner alone.

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
  import_id uuid, staged regclass, after bigint, upto bigint, amended text default null, removed text[] default null
)
returns table (n bigint, outcome text, loaded_as text[], stored jsonb)
language sql stable rows 100000
set search_path = ''
as $$
  -- a row says what its stream is; the stream's latest event that says so may say the same, or something else. Without an
  -- event type its lines contradict each other, whatever is stored
  select g.n, case
      when g.event_type is null then 'conflict'
      when s.version is null or s.version = 0 then 'new'
      when own.event_types is not null then 'loaded'
      when latest.event_type = any (removed) then 'new'
      when latest.payload = g.payload then 'duplicate'
      else 'conflict'
    end,
    own.event_types, case when g.event_type is not null then latest.payload end
  from penstock.staged_events(staged, after, upto) as g
  -- each of these by the index, however large the store is
  left join lateral (
    select s.version from penstock.streams as s
    where s.aggregate_id = g.aggregate_id and s.aggregate_type = g.aggregate_type
    offset 0
  ) as s on true
  left join lateral (
    select e.event_type, e.payload
    from public.current_events as e
    where e.aggregate_id = g.aggregate_id and e.aggregate_type = g.aggregate_type
      and (e.event_type = g.event_type or e.event_type = amended or e.event_type = any (removed))
    order by e.version desc
    limit 1
  ) as latest on s.version > 0
  -- by this very line, before a crash, however others have amended it since
  left join lateral (
    select array_agg(e.event_type order by e.version) as event_types
    from public.event_store as e
    where e.aggregate_id = g.aggregate_id and e.aggregate_type = g.aggregate_type
      and e.metadata ->> 'causation_id' = g.event_metadata ->> 'causation_id'
  ) as own on s.version > 0
$$;
comment on function penstock.classify_by_stream(uuid, regclass, bigint, bigint, text, text[]) is
  'What each row of a range is, if it says what its stream is; and what the stream says now.';
revoke execute on function penstock.classify_by_stream(uuid, regclass, bigint, bigint, text, text[]) from public, anon, authenticated;

create function penstock.event_time(metadata jsonb, created_at timestamptz) returns timestamptz
language plpgsql stable parallel safe
set search_path = ''
set timezone = 'UTC' -- as projections read a time without a zone
as $$
begin
  -- a word such as `now` would be another time whenever it is asked for
  return case when metadata ->> 'occurred_at' like '____-__-__%' then (metadata ->> 'occurred_at')::timestamptz else created_at end;
exception when data_exception then -- a time that does not exist must not end an import
  return created_at;
end $$;
comment on function penstock.event_time(jsonb, timestamptz) is 'When an event happened; when it was stored if it does not say, or says no time.';
revoke execute on function penstock.event_time(jsonb, timestamptz) from public, anon, authenticated;

create function penstock.place_in_file(metadata jsonb) returns bigint[]
language sql immutable parallel safe
set search_path = ''
as $$ select regexp_match(metadata ->> 'causation_id', '^import:[0-9a-f-]{36}#line ([0-9]{1,18})(?:, record ([0-9]{1,18}))?$')::bigint[] $$;
comment on function penstock.place_in_file(jsonb) is 'The line, and where many records share one the record, that caused an imported event; comparable within a file.';
revoke execute on function penstock.place_in_file(jsonb) from public, anon, authenticated;

create function penstock.classify_by_latest(import_id uuid, staged regclass, after bigint, upto bigint)
returns table (n bigint, outcome text)
language sql stable rows 100000
set search_path = ''
as $$
  -- A row is a state as of its time: nothing new if the state as of that time, of the stream and of the lines before in
  -- this file, is the same; or if the store has this very state of this very moment from elsewhere. So it does not matter
  -- in which order files come, and a state that comes late is stored as what it is, history.
  with rows as materialized (
    select h.n, h.aggregate_type, h.aggregate_id, h.event_type, h.payload, h.occurred_at, h.event_metadata
    from penstock.staged_events(staged, after, upto) as h
  ), stored as materialized (
    select t.aggregate_type, t.aggregate_id, t.event_type, e.version, e.payload, e.occurred_at, e.place
    from (select distinct r.aggregate_type, r.aggregate_id, r.event_type from rows as r) as t
    cross join lateral ( -- by the index, however large the store is
      select e.version, e.payload, penstock.event_time(e.metadata, e.created_at) as occurred_at,
        case when e.metadata ->> 'correlation_id' = import_id::text then penstock.place_in_file(e.metadata) end as place
      from public.event_store as e
      where e.aggregate_id = t.aggregate_id and e.aggregate_type = t.aggregate_type and e.event_type = t.event_type
        and not exists (select from penstock.undone_events as u where u.id = e.id)
      offset 0
    ) as e
  ), reached as ( -- how far this import got in a stream before its staged rows were lost in a crash of the server
    select s.aggregate_type, s.aggregate_id, s.event_type, max(s.place) as place
    from stored as s
    where s.place is not null
    group by 1, 2, 3
  ), elsewhere as (
    select distinct s.aggregate_type, s.aggregate_id, s.event_type, s.occurred_at, s.payload from stored as s where s.place is null
  ), decided as materialized ( -- joins, each of them a hash join: `exists` in a case would be asked row by row
    select r.n, case
      when o.place is not null then 'loaded'
      when w.place < f.place or e.payload is not null then 'duplicate'
    end as outcome
    from rows as r
    left join reached as f
      on f.aggregate_id = r.aggregate_id and f.aggregate_type = r.aggregate_type and f.event_type = r.event_type
    -- the place is asked for only in streams that this import has written to before
    left join lateral (
      select case when f.place is not null then penstock.place_in_file(r.event_metadata) end as place
    ) as w on true
    left join stored as o
      on o.aggregate_id = r.aggregate_id and o.aggregate_type = r.aggregate_type and o.event_type = r.event_type
      and o.place = w.place
    left join elsewhere as e
      on e.aggregate_id = r.aggregate_id and e.aggregate_type = r.aggregate_type and e.event_type = r.event_type
      and e.occurred_at = r.occurred_at and e.payload = r.payload
  )
  select d.n, d.outcome from decided as d where d.outcome is not null
  union all
  select k.n, case when k.payload = k.known then 'duplicate' else 'new' end
  from (
    select u.n, u.payload, lag(u.payload) over (
      partition by u.aggregate_type, u.aggregate_id, u.event_type order by u.occurred_at, u.version, u.n
    ) as known
    from (
      select null as n, s.aggregate_type, s.aggregate_id, s.event_type, s.version, s.payload, s.occurred_at from stored as s
      union all
      select r.n, r.aggregate_type, r.aggregate_id, r.event_type, null, r.payload, r.occurred_at -- nulls last: after what is stored
      from rows as r
      join decided as d on d.n = r.n and d.outcome is null
    ) as u
  ) as k
  where k.n is not null
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
  left join lateral (
    select e.id, e.aggregate_id, e.aggregate_type, e.event_type, e.payload, e.metadata from public.event_store as e
    where e.id = f.id
    offset 0
  ) as e on true
$$;
comment on function penstock.classify_by_id(uuid, regclass, bigint, bigint) is 'What each row of a range is, if it has an id of its own.';
revoke execute on function penstock.classify_by_id(uuid, regclass, bigint, bigint) from public, anon, authenticated;

create function penstock.missing_steps(
  aggregate_type text, aggregate_id text, more text[], more_details jsonb[], removed text[],
  out types text[], out details jsonb[]
)
language sql stable
set search_path = ''
as $$
  -- The names may come from staged rows, which are collated as bytes: no index would serve them. The stream is read
  -- first, or the planner may read all events of a type.
  with stream as materialized (
    select e.event_type, e.version, e.payload
    from public.event_store as e
    where e.aggregate_id = missing_steps.aggregate_id collate "default"
      and e.aggregate_type = missing_steps.aggregate_type collate "default"
  ), since as (
    select coalesce(max(s.version), 0) as version from stream as s where s.event_type = any (removed)
  )
  select coalesce(array_agg(m.event_type order by m.place), '{}'), array_agg(m.detail order by m.place)
  from unnest(more, more_details) with ordinality as m (event_type, detail, place)
  where m.detail ->> 'assumed' = 'false' and not exists (
    select from stream as e
    where e.event_type = m.event_type and e.version > (select s.version from since as s)
      -- what was taken back by another step may be taken again
      and e.version > coalesce((select max(o.version) from stream as o where o.event_type = m.detail ->> 'since'), 0)
      and e.payload @> coalesce(m.detail -> 'unless', '{}')
  )
$$;
comment on function penstock.missing_steps(text, text, text[], jsonb[], text[]) is
  'Those of a row''s further events that the file says (`assumed` is false) and its stream has not: none of the type whose payload contains `unless`, since it was last removed or had an event of the type `since`.';
revoke execute on function penstock.missing_steps(text, text, text[], jsonb[], text[]) from public, anon, authenticated;

create function penstock.amend_streams(
  import_id uuid, staged regclass, after bigint, upto bigint, amended text, merge regproc, removed text[]
)
returns void
language plpgsql volatile
set search_path = ''
set jit = off
as $$
begin
  -- what the stream says and what the row says become what holds from now on: nothing new, or the amended payload;
  -- then the row's further events that the stream has not. Without details they are assumed, for new streams alone.
  execute format(
    'with classified as materialized (
       select c.*, case when c.outcome = ''conflict'' and c.stored is not null then %s(c.stored, f.payload) end as merged
       from penstock.classify_by_stream($1, $2, $3, $4, $5, $6) as c
       join %s as f on f.n = c.n
     ), decided as materialized (
       select c.n, c.merged, c.loaded_as, case
           when c.outcome <> ''conflict'' or c.stored is null or jsonb_typeof(c.merged) = ''null'' then c.outcome
           when c.merged is null then ''duplicate''
           else ''amended''
         end as outcome
       from classified as c
     ), stepped as (
       select d.*, s.types, s.details, d.outcome = ''duplicate'' and cardinality(s.types) > 0 as is_step
       from decided as d
       join %s as f on f.n = d.n
       left join lateral penstock.missing_steps(f.aggregate_type, f.aggregate_id, f.more, f.more_details, $6) as s
         on d.outcome in (''duplicate'', ''amended'') and f.more_details is not null
     )
     update %s as f set
       outcome = case when d.is_step then ''amended'' else d.outcome end,
       event_type = case
         when d.is_step then d.types[1]
         when d.outcome = ''amended'' then $5
         when d.outcome = ''loaded'' then d.loaded_as[1]
         else f.event_type
       end,
       more = case
         when d.is_step then d.types[2:]
         when d.outcome = ''amended'' then coalesce(d.types, ''{}'')
         when d.outcome = ''loaded'' then d.loaded_as[2:]
         else f.more
       end,
       more_details = case
         when d.is_step then d.details[2:]
         when d.outcome = ''amended'' then d.details
         else f.more_details
       end,
       payload = case
         when d.is_step then coalesce(d.details[1] -> ''payload'', ''{}'')
         when d.outcome = ''amended'' then d.merged -> ''payload''
         else f.payload
       end,
       event_metadata = case
         when d.is_step then f.event_metadata || coalesce(d.details[1] -> ''metadata'', ''{}'')
         else f.event_metadata
       end,
       known = case when d.outcome = ''amended'' then (d.merged ->> ''known'')::bigint else 0 end
     from stepped as d where f.n = d.n', merge, staged, staged, staged
  ) using import_id, staged, after, upto, amended, removed;
end $$;
comment on function penstock.amend_streams(uuid, regclass, bigint, bigint, text, regproc, text[]) is
  'Set `outcome` of a range of staged events that say what their streams are; those that say it otherwise become events of the type `amended`, those that say a step it has not taken the event of that step. `merge(stored, given)` gives the `payload` and how many lines of the file were `known`; null if nothing is new, a JSON null if the two cannot be one.';
revoke execute on function penstock.amend_streams(uuid, regclass, bigint, bigint, text, regproc, text[]) from public, anon, authenticated;

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
  amended text default null, merge regproc default null, removed text[] default null, needs text default null
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
  if needs is not null then
    perform penstock.continue_streams(staged, after, upto, needs, removed);
  end if;
end $$;
comment on function penstock.classify_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text[], text) is
  'Set `outcome` of a range of staged events: new, loaded (by this import, before a crash), amended, duplicate, conflict or orphan. `removed`: the type of event after which a stream begins once more; `needs`: the type that must have begun it.';
revoke execute on function penstock.classify_imported_events(uuid, regclass, bigint, bigint, text, text, regproc, text[], text) from public, anon, authenticated;

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
       coalesce(sum(f.lines - least(f.known, f.lines)) filter (where f.outcome in (''new'', ''loaded'', ''amended'')), 0),
       coalesce(sum(case f.outcome when ''duplicate'' then f.lines else least(f.known, f.lines) end), 0),
       coalesce(sum(f.lines) filter (where f.outcome in (''conflict'', ''orphan'')), 0),
       count(*) filter (where f.outcome in (''new'', ''loaded'', ''amended'')),
       coalesce(sum(1 + cardinality(f.more)) filter (where f.outcome in (''new'', ''loaded'', ''amended'')), 0)
     from %s as f where f.n > $1 and f.n <= $2', staged)
  into lines_loaded, lines_duplicate, lines_in_conflict, facts_loaded, events using after, upto;
end $$;
comment on function penstock.count_outcomes(regclass, bigint, bigint) is 'What became of the lines of a range of classified events.';
revoke execute on function penstock.count_outcomes(regclass, bigint, bigint) from public, anon, authenticated;
