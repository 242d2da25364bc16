-- Signed calls that have come, so that a call that somebody recorded runs nothing a second time.
--   penstock.first_call   remembers a call, and says whether it is the first with that signature
-- A signature is valid for five minutes on either side of its time, so fifteen minutes are long enough to remember it.

create table ops.signed_calls (
  call text not null,
  seen_at timestamptz not null default clock_timestamp(),
  constraint signed_calls_pkey primary key (call),
  constraint signed_calls_call_check check (length(call) <= 2000)
);
create index signed_calls_seen_idx on ops.signed_calls (seen_at);

comment on table ops.signed_calls is 'Verified calls of the last minutes. penstock.first_call forgets older ones by itself.';
comment on column ops.signed_calls.call is 'The signature, and what the call names beside the signed body.';
comment on column ops.signed_calls.seen_at is 'When the call came.';
alter table ops.signed_calls enable row level security;
revoke all on ops.signed_calls from public, anon, authenticated, service_role;
grant select, insert, update, delete on ops.signed_calls to service_role;

create function penstock.first_call(call text) returns boolean
language sql volatile
set search_path = ''
as $$
  -- each call forgets more than it adds; `skip locked`, since calls that come together would wait for each other
  with old as (
    select s.call from ops.signed_calls as s
    where s.seen_at < clock_timestamp() - interval '15 minutes'
    order by s.seen_at
    limit 10
    for update skip locked
  ), forgotten as (
    delete from ops.signed_calls as s using old where s.call = old.call
  ), remembered as (
    insert into ops.signed_calls (call) values (first_call.call) on conflict do nothing returning true
  )
  select exists (select from remembered)
$$;
comment on function penstock.first_call(text) is 'Remember a verified call; false if it has come before.';
revoke execute on function penstock.first_call(text) from public, anon, authenticated;
grant execute on function penstock.first_call(text) to service_role;
