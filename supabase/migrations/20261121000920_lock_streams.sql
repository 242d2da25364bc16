-- Commands that decide over several streams lock them first, all callers in one order, so that they neither deadlock
-- nor decide on a state that another changes meanwhile.
-- `security definer`: a row lock needs the right to update, and nobody but the owner may update a stream's version.

create function ops.lock_streams(aggregate_type text, aggregate_ids text[])
returns table (aggregate_id text, version integer)
language sql volatile
security definer
set search_path = ''
as $$
  select s.aggregate_id, s.version
  from public.streams as s
  where s.aggregate_type = lock_streams.aggregate_type and s.aggregate_id = any(lock_streams.aggregate_ids)
  order by s.aggregate_id collate "C"
  for no key update
$$;
comment on function ops.lock_streams(text, text[]) is
  'Lock the heads of those streams that exist until the transaction ends, in one order; returns their versions.';
revoke execute on function ops.lock_streams(text, text[]) from public, anon, authenticated;
grant execute on function ops.lock_streams(text, text[]) to service_role;
