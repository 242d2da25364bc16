-- What ran.
--   ops.runs               one row for each execution of a pipeline that did or tried something
--   penstock.record_wake   adds a wake of a pipeline to its row of this minute, or begins one
-- The rows stand in ops.runs beside all other runs; `details.wakes` counts what they hold together, and
-- `details.busy_ms` is the time worked, since started_at to finished_at spans pauses too.

create table ops.runs (
  id uuid not null default gen_random_uuid(),
  pipeline text not null,
  status text not null default 'running',
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  rows_in bigint not null default 0,
  rows_out bigint not null default 0,
  rows_rejected bigint not null default 0,
  error text,
  correlation_id text,
  details jsonb not null default '{}',
  constraint runs_pkey primary key (id),
  constraint runs_status_check check (status in ('running', 'completed', 'failed'))
);
create index runs_started_at_idx on ops.runs (started_at desc, id);
create index runs_pipeline_idx on ops.runs (pipeline, started_at desc);
comment on table ops.runs is 'One row for each run of a pipeline: when, how long, rows in, out and rejected, and the error if it failed.';
comment on column ops.runs.id is 'The run''s id, as in logs and messages.';
comment on column ops.runs.pipeline is 'Which pipeline ran: an Inngest function, an import, a rebuild.';
comment on column ops.runs.status is 'running, completed or failed.';
comment on column ops.runs.started_at is 'When it began.';
comment on column ops.runs.finished_at is 'When it ended; null while it runs.';
comment on column ops.runs.rows_in is 'Rows or events that it read.';
comment on column ops.runs.rows_out is 'Rows or events that it wrote.';
comment on column ops.runs.rows_rejected is 'Rows or events that it refused.';
comment on column ops.runs.error is 'Why it failed; null otherwise.';
comment on column ops.runs.correlation_id is 'Of the request or event that caused it, to find the same in logs and events.';
comment on column ops.runs.details is 'What this pipeline notes beside the counts. `wakes` and `busy_ms`: one row for many short runs.';
alter table ops.runs enable row level security;
revoke all on ops.runs from public, anon, authenticated, service_role;
grant select, insert, update, delete on ops.runs to service_role;

create function penstock.record_wake(
  pipeline text, started_at timestamptz, rows_in bigint, details jsonb default '{}'
) returns void
language plpgsql volatile
set search_path = ''
as $$
#variable_conflict use_variable
declare
  ended constant timestamptz := clock_timestamp();
  busy constant bigint := greatest(0, extract(epoch from ended - started_at) * 1000);
begin
  update ops.runs as r
  set finished_at = ended, rows_in = r.rows_in + rows_in, rows_out = r.rows_out + rows_in,
    details = r.details || details || jsonb_build_object(
      'wakes', (r.details ->> 'wakes')::bigint + 1, 'busy_ms', (r.details ->> 'busy_ms')::bigint + busy)
  where r.id = (
    select l.id from ops.runs as l
    where l.pipeline = pipeline and l.started_at > ended - interval '1 minute' and l.status = 'completed'
      and l.details ? 'wakes' and l.details ? 'busy_ms'
    order by l.started_at desc
    limit 1
  );
  if not found then
    insert into ops.runs (pipeline, status, started_at, finished_at, rows_in, rows_out, details)
    values (pipeline, 'completed', started_at, ended, rows_in, rows_in,
      details || jsonb_build_object('wakes', 1, 'busy_ms', busy));
  end if;
end $$;
comment on function penstock.record_wake(text, timestamptz, bigint, jsonb) is
  'Adds one short run of a pipeline to its row of this minute in ops.runs, or begins one.';
revoke execute on function penstock.record_wake(text, timestamptz, bigint, jsonb) from public, anon, authenticated;
grant execute on function penstock.record_wake(text, timestamptz, bigint, jsonb) to service_role;
