-- Rows of an import that go on with streams which others begin, such as payments of orders.
--   penstock.continue_streams   after penstock.classify_by_id, called by penstock.classify_imported_events
-- For the owner alone.

create function penstock.continue_streams(staged regclass, after bigint, upto bigint, needs text, removed text[]) returns void
language plpgsql volatile
set search_path = ''
set jit = off
as $$
begin
  -- Streams are read by the index, so their names are compared in the store's collation, not in that of staged ones.
  -- A row of a stream that has not begun, or has ended, is an orphan: nobody would see its event. One that the store has
  -- may say steps that its stream has not; of rows that say the same of one event, the first does.
  execute format(
    'with decided as materialized (
       select f.n, f.outcome, own.event_types as own_types, s.types, s.details,
         b.event_type is not distinct from $3 as has_begun,
         bool_or(f.outcome = ''new'') over (partition by f.id) as is_of_this_file,
         row_number() over (partition by f.id, f.more_details order by f.n) = 1 as is_first
       from %1$s as f
       left join lateral (
         select e.event_type
         from (
           select c.event_type, c.version from public.current_events as c
           where c.aggregate_id = f.aggregate_id collate "default"
             and c.aggregate_type = f.aggregate_type collate "default"
           offset 0
         ) as e
         where e.event_type = $3 or e.event_type = any ($4)
         order by e.version desc
         limit 1
       ) as b on true
       left join lateral ( -- by this very line, before a crash
         select array_agg(e.event_type order by e.version) as event_types
         from public.event_store as e
         where f.outcome <> ''new'' and e.metadata ->> ''causation_id'' = f.event_metadata ->> ''causation_id''
           and e.aggregate_id = f.aggregate_id collate "default" and e.aggregate_type = f.aggregate_type collate "default"
       ) as own on true
       left join lateral (
         select m.types, m.details from penstock.missing_steps(f.aggregate_type, f.aggregate_id, f.more, f.more_details, $4) as m
         where f.outcome = ''duplicate'' and own.event_types is null and f.more_details is not null
       ) as s on true
       where f.n > $1 and f.n <= $2 and f.outcome <> ''conflict''
     ), stepped as (
       select d.*, d.has_begun and d.is_first and cardinality(d.types) > 0 as is_step from decided as d
     )
     update %1$s as f set
       outcome = case
         when d.own_types is not null then ''loaded''
         when d.is_of_this_file and not d.has_begun then ''orphan''
         when d.is_step then ''amended''
         else d.outcome
       end,
       id = case when d.is_step then null else f.id end,
       event_type = case when d.is_step then d.types[1] else f.event_type end,
       more = case when d.is_step then d.types[2:] when d.own_types is not null then d.own_types[2:] else f.more end,
       more_details = case when d.is_step then d.details[2:] else f.more_details end,
       payload = case when d.is_step then coalesce(d.details[1] -> ''payload'', ''{}'') else f.payload end,
       event_metadata = case
         when d.is_step then f.event_metadata || coalesce(d.details[1] -> ''metadata'', ''{}'')
         else f.event_metadata
       end
     from stepped as d where f.n = d.n', staged
  ) using after, upto, needs, removed;
end $$;
comment on function penstock.continue_streams(regclass, bigint, bigint, text, text[]) is
  'After classify_by_id, for rows that go on with streams: an orphan where the stream''s latest event of the types `needs` and `removed` is not `needs`; amended where the event is stored and one of its further events is not.';
revoke execute on function penstock.continue_streams(regclass, bigint, bigint, text, text[]) from public, anon, authenticated;
