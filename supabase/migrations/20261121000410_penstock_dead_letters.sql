-- What failed for good.
--   ops.dead_letters   what could not be worked on, with its reason, kept until somebody retries or drops it

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
