-- Files that came in, and what became of every line.
--   raw.imports          one row a file and target: how it is read, how far, the counts
--   raw.import_rejects   every line that was left out (rejected, held back or skipped): number, field, reason, the line
--   raw.import_batches    which stretch of a file went into a table in which way, for `undo`
--   raw.import_changes   what a table's row was before an import changed it, for `undo`
--   raw.import_undo      the streams that `undo` has still to take an import of events back from
--   penstock.undone_events   events that count for nothing: those that were taken back, and those that did it
-- A batch of a file is one transaction that moves the offset, the counts and the rows together; that is what makes
-- an import resumable at any point. Staged rows live in unlogged tables of their own, staging.import_<id>_…: a crash
-- of the server empties them, the count shows it, and the import starts over. read = loaded + skipped + rejected + held
-- + duplicate + pending at any time; pending are rows that are staged and not yet events, none of them at the end.

create table raw.imports (
  id uuid not null default gen_random_uuid(),
  target text not null,
  source_name text not null,
  content_sha256 text not null,
  size_bytes bigint not null,
  options jsonb not null default '{}',
  from_settings jsonb not null default '{}',
  fingerprint text not null,
  header_key text,
  mapping_id uuid,
  plan jsonb,
  state text not null default 'waiting',
  error text,
  offset_bytes bigint not null default 0,
  source_bytes bigint not null default 0,
  next_line bigint not null default 1,
  rows_read bigint not null default 0,
  loaded bigint not null default 0,
  skipped bigint not null default 0,
  rejected bigint not null default 0,
  held bigint not null default 0,
  duplicate bigint not null default 0,
  pending bigint not null default 0,
  updated bigint not null default 0,
  staged bigint not null default 0,
  rejects_kept bigint not null default 0,
  skips_kept bigint not null default 0,
  rejects_kept_bytes bigint not null default 0,
  attempts integer not null default 0,
  attempted_at timestamptz,
  progress jsonb not null default '{}',
  result jsonb not null default '{}',
  reject_limit bigint,
  reject_share double precision not null default 0.01,
  actor text not null default 'import',
  created_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  constraint imports_pkey primary key (id),
  constraint imports_mapping_id_fkey foreign key (mapping_id) references raw.import_mappings (id) on delete set null,
  constraint imports_state_check
    check (state in (
      'uploading', 'waiting', 'loading', 'forming', 'appending', 'completed', 'completed_with_rejects', 'failed', 'aborted',
      'undoing', 'undone')),
  constraint imports_account_check
    check (rows_read = loaded + skipped + rejected + held + duplicate + pending)
);
-- the same file read in the same way for the same target is one import, unless that one failed or was taken back
create unique index imports_fingerprint_idx on raw.imports (target, fingerprint)
  where state not in ('failed', 'aborted', 'undone');
create index imports_created_at_idx on raw.imports (created_at desc, id);
create index imports_mapping_id_idx on raw.imports (mapping_id) where mapping_id is not null;
comment on table raw.imports is 'One row for each imported file: how it is read, how far it is, and the counts of its rows.';
comment on column raw.imports.id is 'The import''s id, as in commands and addresses.';
comment on column raw.imports.target is 'What its rows become: a target that a domain declares.';
comment on column raw.imports.source_name is 'Name of the file, as it was given.';
comment on column raw.imports.content_sha256 is 'Where the content is stored; of an upload not yet read a placeholder that is not a hash.';
comment on column raw.imports.size_bytes is 'Size of the file as it was given, compressed or not.';
comment on column raw.imports.options is 'How the caller asked for the file to be read, or how a remembered mapping says.';
comment on column raw.imports.from_settings is 'What the settings said when it was asked for, such as the currency: {field: value}, for where the file says nothing.';
comment on column raw.imports.fingerprint is 'Of the content and of how it is read: the same again adds nothing.';
comment on column raw.imports.header_key is 'Hash of its header''s folded names, under which its options are remembered; null where they are not.';
comment on column raw.imports.mapping_id is 'The remembered mapping whose options it is read with: raw.import_mappings.id; null if none.';
comment on column raw.imports.plan is 'How it is read: dialect, columns and types, as found in its first rows; null before.';
comment on column raw.imports.state is
  'How far it is; completed, completed_with_rejects, failed, aborted and undone are final; one that is undoing is undone by the next call of undo.';
comment on column raw.imports.error is 'Why it failed, or what the last attempt met.';
comment on column raw.imports.offset_bytes is 'Where the next batch begins, in the decompressed content as UTF-8.';
comment on column raw.imports.source_bytes is 'How much of the file as it is stored has been read, for the progress.';
comment on column raw.imports.next_line is 'The line with which the next batch begins.';
comment on column raw.imports.rows_read is 'Rows read so far: loaded + skipped + rejected + held + duplicate + pending.';
comment on column raw.imports.loaded is 'Rows that became events or rows of a table.';
comment on column raw.imports.skipped is 'Rows that a rule declares not to be wanted, each with its reason: no fault.';
comment on column raw.imports.rejected is 'Rows refused, each with its reason.';
comment on column raw.imports.held is 'Good rows that are held back, since others of the same order were refused; a later file completes them.';
comment on column raw.imports.duplicate is 'Rows that said what was stored already.';
comment on column raw.imports.pending is 'Rows that are staged and not yet events.';
comment on column raw.imports.updated is 'How many of the loaded rows changed a row that was there.';
comment on column raw.imports.staged is 'Rows copied into the staging tables so far.';
comment on column raw.imports.rejects_kept is 'How many of the rejected and held lines are in raw.import_rejects: the first ones; the others are counted only.';
comment on column raw.imports.skips_kept is 'How many of the skipped lines are in raw.import_rejects: the first ones.';
comment on column raw.imports.rejects_kept_bytes is 'Size of the lines that are kept in raw.import_rejects.';
comment on column raw.imports.attempts is 'How often a worker has begun since the import last got on, counted at most once a minute.';
comment on column raw.imports.attempted_at is 'When an attempt was counted last.';
comment on column raw.imports.progress is 'Where the step after staging is: which part of the rows is turned into events.';
comment on column raw.imports.result is 'What came of it, such as the number of events.';
comment on column raw.imports.reject_limit is 'More rejected rows than this fail the import; null: no limit.';
comment on column raw.imports.reject_share is 'Of a larger share of rejected and held rows it ends as completed_with_rejects.';
comment on column raw.imports.actor is 'Who imported: the actor in the events'' metadata.';
comment on column raw.imports.created_at is 'When it was asked for.';
comment on column raw.imports.updated_at is 'When it last got on.';
comment on column raw.imports.finished_at is 'When it reached its final state; null before.';
alter table raw.imports enable row level security;
revoke all on raw.imports from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.imports to service_role;

create table raw.import_rejects (
  id bigint generated always as identity,
  import_id uuid not null,
  line bigint not null,
  outcome text not null default 'rejected',
  byte_offset bigint,
  field text,
  reason text not null,
  line_content bytea,
  constraint import_rejects_pkey primary key (id),
  constraint import_rejects_outcome_check check (outcome in ('rejected', 'held', 'skipped')),
  constraint import_rejects_import_id_fkey foreign key (import_id) references raw.imports (id) on delete cascade
);
create index import_rejects_import_id_line_idx on raw.import_rejects (import_id, line, id);
comment on table raw.import_rejects is 'The lines of a file that were left out, as many as are kept: number, field, reason, and the bytes as they came.';
comment on column raw.import_rejects.id is 'In the order in which they were found.';
comment on column raw.import_rejects.import_id is 'The import: raw.imports.id.';
comment on column raw.import_rejects.line is 'Number of the line in the file.';
comment on column raw.import_rejects.outcome is 'rejected: a fault; held: good, and waits for another line of its order; skipped: not wanted.';
comment on column raw.import_rejects.byte_offset is 'Where the line begins, in the decompressed content as UTF-8.';
comment on column raw.import_rejects.field is 'The field at fault; null if it is the whole line.';
comment on column raw.import_rejects.reason is 'Why it was left out, in words for the sender.';
comment on column raw.import_rejects.line_content is 'The first 8 KiB of the line.';
alter table raw.import_rejects enable row level security;
revoke all on raw.import_rejects from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.import_rejects to service_role;

create table raw.import_batches (
  import_id uuid not null,
  from_offset bigint not null,
  to_offset bigint not null,
  from_line bigint not null,
  compared boolean not null,
  constraint import_batches_pkey primary key (import_id, from_offset),
  constraint import_batches_import_id_fkey foreign key (import_id) references raw.imports (id) on delete cascade
);
comment on table raw.import_batches is 'How each stretch of a file went into a table: copied (every row was new) or compared with what was there.';
comment on column raw.import_batches.import_id is 'The import: raw.imports.id.';
comment on column raw.import_batches.from_offset is 'Where it begins, in the decompressed content as UTF-8.';
comment on column raw.import_batches.to_offset is 'Where it ends.';
comment on column raw.import_batches.from_line is 'Number of its first line in the file.';
comment on column raw.import_batches.compared is 'True: compared row by row with the table; false: copied, every row was new.';
alter table raw.import_batches enable row level security;
revoke all on raw.import_batches from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.import_batches to service_role;

create table raw.import_changes (
  id bigint generated always as identity,
  import_id uuid not null,
  key jsonb not null,
  before jsonb,
  after jsonb not null,
  constraint import_changes_pkey primary key (id),
  constraint import_changes_import_id_fkey foreign key (import_id) references raw.imports (id) on delete cascade
);
create index import_changes_import_id_idx on raw.import_changes (import_id, id);
comment on table raw.import_changes is 'Rows that a compared batch added (`before` is null) or changed, and how it left them.';
comment on column raw.import_changes.id is 'In the order of the changes.';
comment on column raw.import_changes.import_id is 'The import: raw.imports.id.';
comment on column raw.import_changes.key is 'The row''s key columns.';
comment on column raw.import_changes.before is 'The row before; null if it was added.';
comment on column raw.import_changes.after is 'The row as the import left it.';
alter table raw.import_changes enable row level security;
revoke all on raw.import_changes from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.import_changes to service_role;

create table raw.import_undo (
  import_id uuid not null,
  n bigint not null,
  aggregate_type text not null,
  aggregate_id text not null,
  event_types text[] not null,
  constraint import_undo_pkey primary key (import_id, n),
  constraint import_undo_import_id_fkey foreign key (import_id) references raw.imports (id) on delete cascade
);
comment on table raw.import_undo is 'The streams to which an import brought events, while it is being undone.';
comment on column raw.import_undo.import_id is 'The import: raw.imports.id.';
comment on column raw.import_undo.n is 'From 1, in the order of the import''s events; `progress.undone` of the import says how far it is.';
comment on column raw.import_undo.aggregate_type is 'First part of the stream''s name.';
comment on column raw.import_undo.aggregate_id is 'Second part of the stream''s name.';
comment on column raw.import_undo.event_types is 'Types of the events that the import brought to the stream.';
alter table raw.import_undo enable row level security;
revoke all on raw.import_undo from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.import_undo to service_role;

-- Not with the import: that an event was taken back holds for as long as the event is there.
create table penstock.undone_events (
  id uuid not null,
  constraint undone_events_pkey primary key (id)
);
comment on table penstock.undone_events is 'Events that `undo` of an import took back, and the events that it appended for that: without both, a stream reads as if the import had never been.';
comment on column penstock.undone_events.id is 'The event: event_store.id.';
alter table penstock.undone_events enable row level security;
revoke all on penstock.undone_events from public, anon, authenticated, service_role;
grant select on penstock.undone_events to service_role;

create function penstock.imported_streams(import_id uuid)
returns table (aggregate_type text, aggregate_id text, event_types text[], first_position bigint)
language sql stable rows 100000
set search_path = ''
as $$
  with recursive types as (
    (select e.event_type from public.event_store as e order by e.event_type limit 1)
    union all
    select (select e.event_type from public.event_store as e where e.event_type > t.event_type order by e.event_type limit 1)
    from types as t
    where t.event_type is not null
  )
  select e.aggregate_type, e.aggregate_id, array_agg(distinct e.event_type), min(e.position)
  from raw.imports as i
  cross join types as t
  -- by time: nothing else in the store's indexes leads from an import to its events
  cross join lateral (
    select e.aggregate_type, e.aggregate_id, e.event_type, e.position
    from public.event_store as e
    where e.event_type = t.event_type and e.created_at >= i.created_at and e.created_at <= coalesce(i.finished_at, now())
      and e.metadata ->> 'correlation_id' = imported_streams.import_id::text
      and e.metadata ->> 'causation_id' like 'import:' || imported_streams.import_id || '#line %'
  ) as e
  where i.id = imported_streams.import_id
  group by e.aggregate_type, e.aggregate_id
$$;
comment on function penstock.imported_streams(uuid) is 'The streams to which an import brought events, and of which types.';
revoke execute on function penstock.imported_streams(uuid) from public, anon, authenticated;

-- The id of an imported event follows from what it says, so that the same event has the same id in every run. It
-- begins with the time of the event (as UUIDv7 does), which keeps the ids of a file together in the index; the rest
-- is a hash. Version 8: the layout is ours.
create function penstock.imported_event_id(aggregate_type text, aggregate_id text, event_type text, occurred_at timestamptz, salt text)
returns uuid
language sql immutable parallel safe
set search_path = ''
as $$
  select (
    lpad(to_hex(greatest(0, (extract(epoch from occurred_at) * 1000)::bigint)), 12, '0') || '8' || substr(hash, 1, 3)
    || '8' || substr(hash, 4, 15)
  )::uuid
  from md5(concat_ws(E'\x1f', aggregate_type, aggregate_id, event_type, coalesce(salt, ''))) as hash
$$;
comment on function penstock.imported_event_id(text, text, text, timestamptz, text) is 'The id of an imported event: the same event, the same id.';
revoke execute on function penstock.imported_event_id(text, text, text, timestamptz, text) from public, anon, authenticated;
grant execute on function penstock.imported_event_id(text, text, text, timestamptz, text) to service_role;

-- The author of a file must not forge the trail from a figure back to its cause: what the system knows of an event
-- counts, and what the file says instead is kept beside it, recognisable as a claim.
create function penstock.event_metadata(known jsonb, given jsonb)
returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  select given || case when c.claimed is null then '{}' else jsonb_build_object('claimed', c.claimed) end || known
  from (
    select jsonb_object_agg(g.key, g.value) as claimed
    from jsonb_each(given) as g (key, value)
    where g.key = 'claimed' or (known ? g.key and known -> g.key is distinct from g.value)
  ) as c
$$;
comment on function penstock.event_metadata(jsonb, jsonb) is
  'The metadata of an imported event: what the system knows, and what else the file gives; where the two differ, the file''s value is under `claimed`.';
revoke execute on function penstock.event_metadata(jsonb, jsonb) from public, anon, authenticated;
grant execute on function penstock.event_metadata(jsonb, jsonb) to service_role;
