-- Subscriptions: how far each subscriber is, and how far the relay has published each event type to its listeners.
--   ops.subscriptions    a checkpoint for each projection and for the relay
--   ops.listened_types   a row for each type, or prefix that ends with `*`, that an Inngest function listens or listened to
-- A type that nobody listened to before is behind from the first event on: the relay publishes its past, then publishes it with
-- everything else. Written under the lock of the relay's row in ops.subscriptions alone.

create table ops.subscriptions (
  subscription text not null,
  position bigint not null default 0,
  updated_at timestamptz not null default now(),
  constraint subscriptions_pkey primary key (subscription),
  constraint subscriptions_position_check check (position >= 0)
);
comment on table ops.subscriptions is 'Checkpoints: the last position that a subscriber has dealt with, moved in the transaction of its writes.';
comment on column ops.subscriptions.subscription is 'The projection''s name, or the relay''s.';
comment on column ops.subscriptions.position is 'The last position of the event store that it has dealt with.';
comment on column ops.subscriptions.updated_at is 'When the checkpoint moved last.';
alter table ops.subscriptions enable row level security;
revoke all on ops.subscriptions from public, anon, authenticated, service_role;
grant select, insert, update, delete on ops.subscriptions to service_role;

create table ops.listened_types (
  event_type text not null,
  position bigint,
  updated_at timestamptz not null default now(),
  constraint listened_types_pkey primary key (event_type),
  constraint listened_types_position_check check (position >= 0)
);
comment on table ops.listened_types is 'Event types, or prefixes that end with *, that the relay publishes to listeners.';
comment on column ops.listened_types.event_type is 'The type, or the prefix that ends with *.';
comment on column ops.listened_types.position is
  'Null: published together with everything else. Else published to listeners up to here: the type is new, or nobody listens now.';
comment on column ops.listened_types.updated_at is 'When the row changed last.';
alter table ops.listened_types enable row level security;
revoke all on ops.listened_types from public, anon, authenticated, service_role;
grant select, insert, update, delete on ops.listened_types to service_role;
