-- The event store: events, appended once, never changed.
--   public.event_store   every event: its stream, its version in the stream, its position in the whole store
-- A stream is named by (aggregate_type, aggregate_id). Two types may use one id: in real shops a customer's number
-- is also somebody's stock code.
-- No check constraints: Postgres parses them again for each statement, which cost a quarter of an append.
-- The functions that alone may write here refuse the same, and name the field (penstock.validate_event).
-- Positions come from a sequence and may commit out of order; 20261121000300_penstock_read_events.sql says how readers cope.

-- Must stay `cache 1`: a cached block would hand out positions below a floor that a reader has already passed.
create sequence public.event_store_position_seq as bigint cache 1;
comment on sequence public.event_store_position_seq is 'The positions of events. Behind what is stored after a failover: ops.raise_positions().';
revoke all on sequence public.event_store_position_seq from public, anon, authenticated, service_role;
grant select on sequence public.event_store_position_seq to service_role, analyst;

create table public.event_store (
  position bigint not null,
  id uuid not null,
  aggregate_type text not null,
  aggregate_id text not null,
  event_type text not null,
  payload jsonb not null,
  metadata jsonb not null,
  version integer not null,
  schema_version integer not null default 1,
  created_at timestamptz not null default clock_timestamp(),
  constraint event_store_pkey primary key (position),
  constraint event_store_id_key unique (id),
  constraint event_store_aggregate_id_version_key unique (aggregate_id, version, aggregate_type)
) with (autovacuum_vacuum_insert_scale_factor = 0.05);
alter sequence public.event_store_position_seq owned by public.event_store.position;
create index event_store_event_type_created_at_idx on public.event_store (event_type, created_at);

comment on table public.event_store is 'Every event, in the order of `position`. Append-only: written by append_event and append_events alone.';
comment on column public.event_store.position is 'Place in the whole store. Grows; may have gaps; never reused.';
comment on column public.event_store.id is 'The event''s own id, from its writer: the same id again is the same event.';
comment on column public.event_store.aggregate_type is 'Kind of thing that the stream is about, such as order; first part of the stream''s name.';
comment on column public.event_store.aggregate_id is 'Which one: second part of the stream''s name.';
comment on column public.event_store.event_type is 'What happened, such as OrderPlaced.';
comment on column public.event_store.payload is 'What the event says, as stored; public.current_events has it in its newest shape.';
comment on column public.event_store.metadata is 'correlation_id, causation_id, actor, source, occurred_at, and what the caller adds.';
comment on column public.event_store.version is 'Place in the stream: 1, 2, 3 … without gaps.';
comment on column public.event_store.schema_version is 'Version of the payload''s shape, for upcasters.';
comment on column public.event_store.created_at is 'When it was stored. When it happened is metadata.occurred_at.';
alter table public.event_store enable row level security;
create policy event_store_read on public.event_store for select to service_role, analyst using (true);
revoke all on public.event_store from public, anon, authenticated, service_role;
grant select on public.event_store to service_role, analyst;

create function penstock.refuse_change() returns trigger
language plpgsql volatile
set search_path = ''
as $$
begin
  raise exception '%.% is append-only: % refused', tg_table_schema, tg_table_name, lower(tg_op)
    using errcode = 'PK006', hint = 'Append a correcting event instead.';
end $$;
comment on function penstock.refuse_change() is 'Trigger: refuses update, delete and truncate, for every role.';
revoke execute on function penstock.refuse_change() from public, anon, authenticated;

create trigger event_store_refuse_change before update or delete on public.event_store
for each row execute function penstock.refuse_change();
create trigger event_store_refuse_truncate before truncate on public.event_store
for each statement execute function penstock.refuse_change();
-- `always`: a session in replica mode (restores, replication tools) may not rewrite history either
alter table public.event_store enable always trigger event_store_refuse_change;
alter table public.event_store enable always trigger event_store_refuse_truncate;

