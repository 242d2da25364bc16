-- Orders of which a line was refused, held back whole until later files complete them.
--   raw.held_lines   every good line of such an order, as typed fields
--   raw.held_keys    what an import found: how many lines of the order are still missing, and why
--   penstock.find_held_keys      what becomes of each order with a fault in this file, or with lines held before
--   penstock.keep_held_lines     hold lines back, and claim those of older imports that this file completes
--   penstock.finish_held_lines   count in the older imports what became of claimed lines, beside the append
--   penstock.drop_held_lines     an import starts over, failed or is taken back: what it holds goes
--   penstock.end_held_lines      an import is final: what it claimed and has not completed is free again
--   penstock.hold_lines_again    the import that completed orders is undone: their lines are held as before
-- H are the lines held before, m the number of missing ones, N the good lines of this file. Without a fault in the file
-- the order is `whole` if N contains H and has more lines than are missing, so that it cannot be those alone (it is formed
-- of N; H were duplicates; if nothing is missing for certain, N that contains H is enough), and `extended` if N and H have no line in common and N has m lines (it is formed
-- of H and N; H are loaded). Else it is held: lines of N that are in H are duplicates, the others are held too, and as
-- many fewer are missing. Lines of an import that is not final, and lines
-- that another import has claimed, complete nothing. Lines of a completed order stay, with their `outcome`, as long as
-- their import does: the completing import may start over after a crash and form the same events again, or be undone.
-- For the owner alone, under one lock for each target
-- (penstock.lock_held_lines), which is taken before the row of any import.

create table raw.held_keys (
  id bigint generated always as identity,
  target text not null,
  key text not null,
  import_id uuid not null,
  missing bigint not null,
  missing_certain bigint not null,
  reason text not null,
  completed_by uuid,
  constraint held_keys_pkey primary key (id),
  constraint held_keys_import_id_key unique (import_id, key),
  constraint held_keys_import_id_fkey foreign key (import_id) references raw.imports (id) on delete cascade
);
create index held_keys_key_idx on raw.held_keys (target, key, id);
comment on table raw.held_keys is 'Orders that are or were held back: what an import found of each; the latest row that is not completed counts.';
comment on column raw.held_keys.id is 'In the order in which they were found.';
comment on column raw.held_keys.target is 'The import target.';
comment on column raw.held_keys.key is 'What the lines have in common, such as the id of an order.';
comment on column raw.held_keys.import_id is 'The import that found it: raw.imports.id.';
comment on column raw.held_keys.missing is 'How many of its lines are still missing after this import, at most.';
comment on column raw.held_keys.missing_certain is 'How many of them name it: the others may belong to the order beside it.';
comment on column raw.held_keys.reason is 'Why it is held, in words for the sender.';
comment on column raw.held_keys.completed_by is 'The import that completed the order, even when it has been forgotten; null while it is held.';
alter table raw.held_keys enable row level security;
revoke all on raw.held_keys from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.held_keys to service_role;

create table raw.held_lines (
  id bigint generated always as identity,
  target text not null,
  key text not null,
  import_id uuid not null,
  line bigint not null,
  fields jsonb not null,
  claimed_by uuid,
  verdict text,
  outcome text,
  listed_content bytea,
  constraint held_lines_pkey primary key (id),
  constraint held_lines_verdict_check check (verdict in ('whole', 'extended')),
  constraint held_lines_import_id_fkey foreign key (import_id) references raw.imports (id) on delete cascade,
  constraint held_lines_claimed_by_fkey foreign key (claimed_by) references raw.imports (id) on delete set null
);
create index held_lines_key_idx on raw.held_lines (target, key, id) where outcome is null;
create index held_lines_import_id_idx on raw.held_lines (import_id, key);
create index held_lines_claimed_by_idx on raw.held_lines (claimed_by) where claimed_by is not null;
comment on table raw.held_lines is 'Good lines of orders that are held back, or were until they were completed, as the typed fields of their target.';
comment on column raw.held_lines.id is 'In the order of the files.';
comment on column raw.held_lines.target is 'The import target.';
comment on column raw.held_lines.key is 'What the lines have in common, such as the id of an order.';
comment on column raw.held_lines.import_id is 'The import that counts the line as held: raw.imports.id.';
comment on column raw.held_lines.line is 'Number of the line in its file.';
comment on column raw.held_lines.fields is 'The line as it was read, by field.';
comment on column raw.held_lines.claimed_by is 'The import that completes or has completed the order: raw.imports.id.';
comment on column raw.held_lines.verdict is 'Of a claimed line: whole (the other file has it too) or extended (the event is formed of both).';
comment on column raw.held_lines.outcome is 'Of a line whose order is completed: loaded, duplicate or rejected; null while it is held.';
comment on column raw.held_lines.listed_content is 'Of such a line: its content in raw.import_rejects, should it be held again; empty if none was kept, null if it was not listed.';
alter table raw.held_lines enable row level security;
revoke all on raw.held_lines from public, anon, authenticated, service_role;
grant select, insert, update, delete on raw.held_lines to service_role;

create function penstock.lock_held_lines(target text) returns void
language sql volatile
set search_path = ''
as $$
  select pg_advisory_xact_lock(hashtextextended('held lines of ' || target, 0))
$$;
comment on function penstock.lock_held_lines(text) is 'One transaction at a time decides about the held lines of a target.';
revoke execute on function penstock.lock_held_lines(text) from public, anon, authenticated;

create function penstock.find_held_keys(
  import_id uuid, target text, staged text, field text, what text,
  out held bigint, out duplicate bigint, out keys bigint
)
language plpgsql volatile
set search_path = ''
set jit = off
set enable_nestloop = off
as $$
begin
  -- a fault whose order is not certain counts for the orders of the lines beside it, unless it names one of those
  execute format(
    'create unlogged table staging.%1$I as
     select k.key, count(*) as faults, count(*) filter (where not k.is_near) as faults_certain,
       (array_agg(concat(''held: line '', f.line, case when k.is_near then '', next to '' else '' of '' end, $1, '' '', k.key,
         '' was rejected: '', f.field || '': '', f.reason) order by f.line))[1] as reason
     from staging.%2$I as f
     left join staging.%3$I as b on b.ord = f.after_ord and not f.is_certain
     left join staging.%3$I as a on a.ord = f.after_ord + 1 and not f.is_certain
     cross join lateral (
       select f.key as key, false as is_near where f.key is not null
       union
       select n.key, true from (values (b.%4$I::text), (a.%4$I::text)) as n (key)
       where n.key is not null and not f.is_certain
         and (f.key is null or f.key is distinct from b.%4$I::text and f.key is distinct from a.%4$I::text)
     ) as k
     group by k.key', staged || '_at_fault', staged || '_faults', staged || '_rows', field) using what;
  execute format(
    'create unlogged table staging.%1$I as
     select r.ord, r.%4$I::text as key, to_jsonb(r) - ''ord'' as fields, false as is_repeat
     from staging.%3$I as r
     where r.%4$I::text in (
       select f.key from staging.%2$I as f union select l.key from raw.held_lines as l
       where l.target = $1 and (l.outcome is null or l.claimed_by = $2))',
    staged || '_own', staged || '_at_fault', staged || '_rows', field) using target, import_id;
  execute format(
    'create unlogged table staging.%1$I as
     with own as (
       select o.key, count(*) as lines, min(o.ord) as first_ord from staging.%2$I as o group by o.key
     ), found as (
       select l.*, l.claimed_by is not distinct from $2 and l.outcome is not null as is_mine,
         (l.claimed_by is not null and l.claimed_by <> $2) or i.finished_at is null as is_taken
       from raw.held_lines as l join raw.imports as i on i.id = l.import_id
       where l.target = $1 and (l.outcome is null or l.claimed_by = $2)
         and l.key in (select f.key from staging.%3$I as f union select o.key from own as o)
     ), known as ( -- after a crash: the lines of which the event is formed already, and no others
       select l.* from (select l.*, bool_or(l.is_mine) over (partition by l.key) as has_mine from found as l) as l
       where l.is_mine or not l.has_mine
     ), before as (
       select k.key, count(*) as lines, array_agg(k.id) as ids, bool_or(k.is_taken and not k.is_mine) as is_taken,
         max(k.verdict) filter (where k.is_mine) as verdict
       from known as k group by k.key
     ), common as (
       select o.key, sum(least(o.number, k.number)) as lines
       from (select key, fields, count(*) as number from staging.%2$I group by key, fields) as o
       join (select key, fields, count(*) as number from known group by key, fields) as k
         on k.key = o.key and k.fields = o.fields
       group by o.key
     ), latest as (
       select distinct on (k.key) k.key, k.missing, k.missing_certain from raw.held_keys as k
       where k.target = $1 and k.import_id <> $2 and k.completed_by is null order by k.key, k.id desc
     ), decided as (
       select key, o.lines as own_lines, o.first_ord, b.lines as lines_before, b.ids, coalesce(c.lines, 0) as lines_common,
         coalesce(l.missing, 0) as missing_before, coalesce(l.missing_certain, 0) as certain_before,
         coalesce(f.faults, 0) as faults, coalesce(f.faults_certain, 0) as faults_certain, f.reason,
         case
           when b.verdict is not null then b.verdict
           when f.faults > 0 or b.is_taken then ''held''
           when c.lines = b.lines and (coalesce(l.missing_certain, 0) = 0 or o.lines > l.missing) then ''whole''
           when c.lines is null and o.lines = l.missing then ''extended''
           else ''held''
         end as verdict
       from own as o
       full join before as b using (key)
       left join staging.%3$I as f using (key)
       left join common as c using (key)
       left join latest as l using (key)
     )
     select d.key, d.verdict, d.first_ord, coalesce(d.lines_before, 0) as lines_before, d.ids,
       greatest(d.missing_before - (coalesce(d.own_lines, 0) - d.lines_common), d.faults) as missing,
       greatest(d.certain_before - (coalesce(d.own_lines, 0) - d.lines_common), d.faults_certain) as missing_certain,
       coalesce(d.reason, concat(''held: '', $3, '' '', d.key, case
         when d.missing_before > d.own_lines - d.lines_common
         then '' lacks more lines than this file has'' else '' has come with other lines than it lacks'' end)) as reason
     from decided as d',
    staged || '_held', staged || '_own', staged || '_at_fault') using target, import_id, what;
  execute format(
    'update staging.%1$I as o set is_repeat = true
     from (
       select p.ord from (
         select o.ord, o.key, o.fields, row_number() over (partition by o.key, o.fields order by o.ord) as place
         from staging.%1$I as o join staging.%2$I as h on h.key = o.key and h.verdict = ''held''
       ) as p
       join (
         select l.key, l.fields, count(*) as number from raw.held_lines as l
         where l.target = $1 and l.outcome is null group by l.key, l.fields
       ) as k on k.key = p.key and k.fields = p.fields
       where p.place <= k.number
     ) as r
     where o.ord = r.ord', staged || '_own', staged || '_held') using target;
  execute format(
    'select
       count(*) filter (where not o.is_repeat), count(*) filter (where o.is_repeat),
       (select count(*) from staging.%2$I)
     from staging.%1$I as o join staging.%2$I as h on h.key = o.key and h.verdict = ''held''',
    staged || '_own', staged || '_held')
  into held, duplicate, keys;
end $$;
comment on function penstock.find_held_keys(uuid, text, text, text, text) is
  'Decide about each order with a fault or with lines held before; counts the lines held, those held already, and the orders.';
revoke execute on function penstock.find_held_keys(uuid, text, text, text, text) from public, anon, authenticated;

create function penstock.keep_held_lines(import_id uuid, target text, staged text, field text, room bigint)
returns bigint
language plpgsql volatile
set search_path = ''
-- fresh tables have no statistics: guesses would end in nested loops
set jit = off
set enable_nestloop = off
as $$
declare
  kept bigint;
begin
  execute format(
    'insert into raw.held_lines (target, key, import_id, line, fields)
     select $1, o.key, $2,
       (select s.line + o.ord - s.first_ord from staging.%3$I as s where s.first_ord <= o.ord
        order by s.first_ord desc limit 1),
       o.fields
     from staging.%1$I as o join staging.%2$I as h on h.key = o.key
     where h.verdict = ''held'' and not o.is_repeat order by o.ord',
    staged || '_own', staged || '_held', staged || '_runs') using target, import_id;
  execute format(
    'insert into raw.held_keys (target, key, import_id, missing, missing_certain, reason)
     select $1, h.key, $2, h.missing, h.missing_certain, h.reason from staging.%I as h
     where h.verdict = ''held'' order by h.first_ord', staged || '_held') using target, import_id;
  execute format(
    'update raw.held_lines as l set claimed_by = $2, verdict = h.verdict
     from staging.%I as h
     where l.id = any(h.ids) and h.verdict <> ''held'' and l.claimed_by is null',
    staged || '_held') using target, import_id;
  insert into raw.import_rejects (import_id, line, outcome, field, reason)
  select l.import_id, l.line, 'held', keep_held_lines.field, k.reason
  from raw.held_lines as l
  join raw.held_keys as k on k.import_id = l.import_id and k.key = l.key
  where l.import_id = keep_held_lines.import_id order by l.id limit room;
  get diagnostics kept = row_count;
  return kept;
end $$;
comment on function penstock.keep_held_lines(uuid, text, text, text, bigint) is
  'Hold the lines back that penstock.find_held_keys has found, and claim what this import completes; gives how many are listed.';
revoke execute on function penstock.keep_held_lines(uuid, text, text, text, bigint) from public, anon, authenticated;

create function penstock.finish_held_lines(import_id uuid, staged text, after bigint, upto bigint) returns void
language plpgsql volatile
set search_path = ''
-- fresh tables have no statistics: guesses would end in nested loops
set jit = off
set enable_nestloop = off
as $$
begin
  execute format(
    'with finished as (
       update raw.held_lines as l set outcome = case
         when e.outcome = ''conflict'' then ''rejected''
         when e.outcome = ''duplicate'' or l.verdict = ''whole'' then ''duplicate''
         else ''loaded''
       end, listed_content = (
         select coalesce(r.line_content, '''') from raw.import_rejects as r
         where r.import_id = l.import_id and r.line = l.line and r.outcome = ''held'' order by r.id limit 1)
       from staging.%I as e
       where e.n > $1 and e.n <= $2 and l.key = e.aggregate_id and l.claimed_by = $3 and l.outcome is null
         and not (l.verdict = ''whole'' and e.outcome is not distinct from ''conflict'')
       returning l.import_id, l.line, l.outcome,
         case when e.event_type is null then e.payload #>> ''{}'' else ''stored already with other content'' end as reason
     ), refused as (
       update raw.import_rejects as r set outcome = ''rejected'', reason = f.reason
       from finished as f
       where r.import_id = f.import_id and r.line = f.line and r.outcome = ''held'' and f.outcome = ''rejected''
     ), listed as (
       delete from raw.import_rejects as r using finished as f
       where r.import_id = f.import_id and r.line = f.line and r.outcome = ''held'' and f.outcome <> ''rejected''
       returning r.import_id
     )
     update raw.imports as i
     set held = i.held - f.lines, loaded = i.loaded + f.loaded, duplicate = i.duplicate + f.duplicate,
       rejected = i.rejected + f.rejected, rejects_kept = i.rejects_kept - f.listed
     from (
       select g.import_id, count(*) as lines, count(*) filter (where g.outcome = ''loaded'') as loaded,
         count(*) filter (where g.outcome = ''duplicate'') as duplicate,
         count(*) filter (where g.outcome = ''rejected'') as rejected,
         (select count(*) from listed as t where t.import_id = g.import_id) as listed
       from finished as g group by g.import_id
     ) as f
     where i.id = f.import_id', staged || '_events') using after, upto, import_id;
  execute format(
    'update raw.held_keys as k set completed_by = $3
     from (
       select distinct l.target, l.key from staging.%I as e
       join raw.held_lines as l on l.key = e.aggregate_id and l.claimed_by = $3 and l.outcome is not null
       where e.n > $1 and e.n <= $2
     ) as d
     where k.target = d.target and k.key = d.key and k.completed_by is null
       and not exists (
         select from raw.held_lines as o
         where o.target = k.target and o.key = k.key and o.import_id = k.import_id and o.outcome is null)',
    staged || '_events') using after, upto, import_id;
end $$;
comment on function penstock.finish_held_lines(uuid, text, bigint, bigint) is
  'Count in the imports of claimed lines what became of them, by the outcome of a range of staged events.';
revoke execute on function penstock.finish_held_lines(uuid, text, bigint, bigint) from public, anon, authenticated;

create function penstock.drop_held_lines(import_id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  delete from raw.held_lines as l where l.import_id = drop_held_lines.import_id and l.outcome is null;
  delete from raw.held_keys as k where k.import_id = drop_held_lines.import_id;
  update raw.held_lines as l set claimed_by = null, verdict = null
  where l.claimed_by = drop_held_lines.import_id and l.outcome is null;
end $$;
comment on function penstock.drop_held_lines(uuid) is
  'An import starts over, failed or is taken back: what it holds goes, what it claimed and has not completed is free again.';
revoke execute on function penstock.drop_held_lines(uuid) from public, anon, authenticated;

create function penstock.end_held_lines(import_id uuid) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  update raw.held_lines as l set claimed_by = null, verdict = null
  where l.claimed_by = end_held_lines.import_id and l.outcome is null;
end $$;
comment on function penstock.end_held_lines(uuid) is
  'An import is final: what it claimed and has not completed is free again.';
revoke execute on function penstock.end_held_lines(uuid) from public, anon, authenticated;

create function penstock.hold_lines_again(import_id uuid, field text, keys text[]) returns void
language plpgsql volatile
set search_path = ''
as $$
begin
  delete from raw.held_lines as l using raw.imports as i
  where l.claimed_by = hold_lines_again.import_id and l.key = any(keys) and l.outcome is not null
    and i.id = l.import_id and i.state not in ('completed', 'completed_with_rejects');
  update raw.held_keys as k set completed_by = null
  where k.completed_by = hold_lines_again.import_id and k.key = any(keys);
  with lines as (
    select l.id, l.import_id, l.line, l.key, l.outcome, l.listed_content,
      -- equal to a line that was held since: one of them is enough
      row_number() over (partition by l.key, l.fields order by l.id) <= (
        select count(*) from raw.held_lines as o
        where o.target = l.target and o.key = l.key and o.fields = l.fields and o.outcome is null) as is_repeat
    from raw.held_lines as l
    where l.claimed_by = hold_lines_again.import_id and l.key = any(keys) and l.outcome in ('loaded', 'duplicate')
  ), held as (
    update raw.held_lines as l
    set claimed_by = null, verdict = null, outcome = case when n.is_repeat then 'duplicate' end, listed_content = null
    from lines as n where l.id = n.id
  ), listed as (
    insert into raw.import_rejects as r (import_id, line, outcome, field, reason, line_content)
    select n.import_id, n.line, 'held', hold_lines_again.field, k.reason, nullif(n.listed_content, '')
    from lines as n
    join raw.held_keys as k on k.import_id = n.import_id and k.key = n.key
    where n.listed_content is not null and not n.is_repeat order by n.id
    returning r.import_id
  )
  update raw.imports as i
  set held = i.held + f.held, loaded = i.loaded - f.loaded, duplicate = i.duplicate + f.duplicate,
    rejects_kept = i.rejects_kept + f.listed
  from (
    select n.import_id, count(*) filter (where not n.is_repeat) as held,
      count(*) filter (where n.outcome = 'loaded') as loaded,
      count(*) filter (where n.is_repeat) - count(*) filter (where n.outcome = 'duplicate') as duplicate,
      (select count(*) from listed as t where t.import_id = n.import_id) as listed
    from lines as n group by n.import_id
  ) as f
  where i.id = f.import_id;
end $$;
comment on function penstock.hold_lines_again(uuid, text, text[]) is
  'An import is undone that had completed these orders: lines of other imports that are loaded are held in them once more.';
revoke execute on function penstock.hold_lines_again(uuid, text, text[]) from public, anon, authenticated;
