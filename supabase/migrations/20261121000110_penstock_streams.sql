-- Stream rows: one for each stream, with its present version; the one lock that an append takes.
--   penstock.streams        the rows, without check constraints for the same reason as public.event_store
--   penstock.lock_streams   locks several of them
-- What writes to several streams locks their rows in one order, by (aggregate_id, aggregate_type) as bytes, so that
-- no two wait for each other in a ring: bulk (reserve_versions, append_staged_events), imports (penstock.append_new_streams,
-- penstock.append_imported_events), and commands, which lock here what they decide over. As bytes (`collate "C"`), since an order
-- by the database's collation in one place and by bytes in another are two orders wherever the collation is not C.
-- `security definer`: a row lock needs the right to update, and nobody but the owner may update a stream's version.

create table penstock.streams (
  aggregate_id text not null,
  aggregate_type text not null,
  version integer not null,
  constraint streams_pkey primary key (aggregate_id, aggregate_type)
) with (fillfactor = 70);
comment on table penstock.streams is 'One row a stream: its present version. An append locks this row and no other.';
comment on column penstock.streams.aggregate_id is 'Second part of the stream''s name.';
comment on column penstock.streams.aggregate_type is 'First part of the stream''s name.';
comment on column penstock.streams.version is 'Version of its last event; 0 only inside a transaction of an import.';
alter table penstock.streams enable row level security;
create policy streams_read on penstock.streams for select to service_role, analyst using (true);
revoke all on penstock.streams from public, anon, authenticated, service_role;
grant select on penstock.streams to service_role, analyst;

create function penstock.lock_streams(aggregate_types text[], aggregate_ids text[])
returns table (aggregate_type text, aggregate_id text, version integer)
language sql volatile
security definer
set search_path = ''
as $$
  select s.aggregate_type, s.aggregate_id, s.version
  from penstock.streams as s
  where (s.aggregate_id, s.aggregate_type) in (
    select w.aggregate_id, w.aggregate_type from unnest(aggregate_types, aggregate_ids) as w (aggregate_type, aggregate_id))
  order by s.aggregate_id collate "C", s.aggregate_type collate "C"
  for no key update of s
$$;
comment on function penstock.lock_streams(text[], text[]) is
  'Lock the rows of those streams that exist until the transaction ends, in the one order; returns their versions.';
revoke execute on function penstock.lock_streams(text[], text[]) from public, anon, authenticated;
grant execute on function penstock.lock_streams(text[], text[]) to service_role;
