-- The tables of the small domain in tests/tickets.py, as a migration beside the package's.

create schema desk;
create table desk.tickets (
  ticket_id text primary key, title text, total numeric not null, status text not null,
  opened_at timestamptz not null, position bigint not null
);
create materialized view public.tickets_by_status as
  select t.status, count(*) as tickets, sum(t.total) as total from desk.tickets as t group by t.status;
create unique index tickets_by_status_key on public.tickets_by_status (status);
insert into ops.views (view, refreshed_at, duration_ms) values ('tickets_by_status', now(), 0);
create table public.ticket_days (day date primary key, computed_at timestamptz not null);
