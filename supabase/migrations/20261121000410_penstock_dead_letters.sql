-- What failed for good.
--   ops.dead_letters   what could not be worked on, with its reason, kept until somebody retries or drops it
--   penstock.park_dead_letter       the one way in, for projections, the relay, webhooks and Inngest functions
--   penstock.resolve_dead_letters   the one way out, as retried or dropped

create table ops.dead_letters (
  id uuid not null default gen_random_uuid(),
  kind text not null,
  source text not null,
  reference text,
  reason text not null,
  payload jsonb not null default '{}',
  attempts integer not null default 1,
  created_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz,
  resolution text,
  constraint dead_letters_pkey primary key (id),
  constraint dead_letters_kind_check check (kind in ('event', 'run', 'delivery')),
  constraint dead_letters_resolution_check check (resolution in ('retried', 'dropped'))
);
create unique index dead_letters_open_idx on ops.dead_letters (kind, source, reference) where resolved_at is null;
create index dead_letters_created_at_idx on ops.dead_letters (created_at desc);
comment on table ops.dead_letters is 'What failed for good: an event a projection could not read, a run out of retries, a delivery without a place. `penstock retry` runs it again.';
comment on column ops.dead_letters.id is 'What `penstock retry` takes.';
comment on column ops.dead_letters.kind is 'event, run or delivery.';
comment on column ops.dead_letters.source is 'The subscription, Inngest function or webhook source that failed.';
comment on column ops.dead_letters.reference is 'The event''s position, the run''s id or the delivery''s id.';
comment on column ops.dead_letters.reason is 'Why it failed, in the error''s words.';
comment on column ops.dead_letters.payload is 'What is needed to see and to retry it.';
comment on column ops.dead_letters.attempts is 'How often it has failed.';
comment on column ops.dead_letters.created_at is 'When it failed first.';
comment on column ops.dead_letters.resolved_at is 'When somebody retried or dropped it; null while it is open.';
comment on column ops.dead_letters.resolution is 'retried or dropped; null while it is open.';
alter table ops.dead_letters enable row level security;
revoke all on ops.dead_letters from public, anon, authenticated, service_role;
grant select, insert, update, delete on ops.dead_letters to service_role;

create function penstock.park_dead_letter(
  kind text, source text, reference text, reason text, payload jsonb default '{}'
) returns uuid
language sql volatile
set search_path = ''
as $$
  with dropped as (
    select l.id
    from ops.dead_letters as l
    where l.kind = park_dead_letter.kind and l.source = park_dead_letter.source
      and l.reference = park_dead_letter.reference and l.resolution = 'dropped'
    limit 1
  ),
  parked as (
    insert into ops.dead_letters as l (kind, source, reference, reason, payload)
    select
      park_dead_letter.kind, park_dead_letter.source, park_dead_letter.reference,
      park_dead_letter.reason, park_dead_letter.payload
    where not exists (select from dropped)
    on conflict (kind, source, reference) where resolved_at is null
    do update set attempts = l.attempts + 1, reason = excluded.reason, payload = excluded.payload
    returning l.id
  )
  select d.id from dropped as d
  union all
  select p.id from parked as p
$$;
comment on function penstock.park_dead_letter(text, text, text, text, jsonb) is
  'Keep what failed for good, as part of the caller''s transaction. The same again is the same letter with one attempt more; what somebody has dropped stays dropped. Returns the letter''s id.';
revoke execute on function penstock.park_dead_letter(text, text, text, text, jsonb) from public, anon, authenticated;
grant execute on function penstock.park_dead_letter(text, text, text, text, jsonb) to service_role;

create function penstock.resolve_dead_letters(ids uuid[], resolution text) returns bigint
language sql volatile
set search_path = ''
as $$
  with resolved as (
    update ops.dead_letters as l set resolved_at = clock_timestamp(), resolution = resolve_dead_letters.resolution
    where l.id = any(resolve_dead_letters.ids) and l.resolved_at is null
    returning l.id
  )
  select count(*) from resolved
$$;
comment on function penstock.resolve_dead_letters(uuid[], text) is
  'Mark open letters as `retried` or `dropped`; those that are resolved already stay as they are. Returns how many it marked.';
revoke execute on function penstock.resolve_dead_letters(uuid[], text) from public, anon, authenticated;
grant execute on function penstock.resolve_dead_letters(uuid[], text) to service_role;
