-- The webhook inbox: deliveries as they came, stored before they are acknowledged, then turned into events.
-- The sender's delivery id is the key: a repeated delivery finds its row and adds nothing. Headers that prove or carry
-- a secret (signatures, authorization, cookies) are never stored.

create table raw.webhook_inbox (
  source text not null,
  delivery_id text not null,
  headers jsonb not null,
  body bytea not null,
  received_at timestamptz not null,
  status text not null default 'pending',
  due_at timestamptz not null default clock_timestamp(),
  attempts integer not null default 0,
  reason text,
  event_ids uuid[] not null default '{}',
  processed_at timestamptz,
  constraint webhook_inbox_pkey primary key (source, delivery_id),
  constraint webhook_inbox_source_check check (source ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  constraint webhook_inbox_delivery_id_check check (delivery_id <> '' and length(delivery_id) <= 200),
  constraint webhook_inbox_status_check check (status in ('pending', 'appended', 'failed')),
  constraint webhook_inbox_processed_check check ((status = 'pending') = (processed_at is null))
);
create index webhook_inbox_pending_idx on raw.webhook_inbox (due_at) where status = 'pending';

comment on table raw.webhook_inbox is 'Webhook deliveries as they came. pending: to be worked; appended: its events are in the store; failed: see reason, and ops.dead_letters.';
comment on column raw.webhook_inbox.source is 'Who sent it: the last part of the address it was sent to.';
comment on column raw.webhook_inbox.delivery_id is 'The sender''s id of the delivery; the same in every retry.';
comment on column raw.webhook_inbox.headers is 'The headers worth keeping; none that carries a secret.';
comment on column raw.webhook_inbox.body is 'The bytes that were signed.';
comment on column raw.webhook_inbox.received_at is 'When it came.';
comment on column raw.webhook_inbox.status is 'pending: to be mapped; appended: its events are in the store; failed: see reason.';
comment on column raw.webhook_inbox.due_at is 'When it is worked next: at once, or after a pause when the database failed it.';
comment on column raw.webhook_inbox.attempts is 'How often the database failed it (a deadlock, a timeout, a lost connection).';
comment on column raw.webhook_inbox.reason is 'Why it failed; null otherwise.';
comment on column raw.webhook_inbox.event_ids is 'The events that the delivery became.';
comment on column raw.webhook_inbox.processed_at is 'When it was appended or failed; null while it is pending.';
alter table raw.webhook_inbox enable row level security;
revoke all on raw.webhook_inbox from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.webhook_inbox to service_role;
