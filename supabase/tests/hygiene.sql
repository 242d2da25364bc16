-- What every table, column and function of the project must have, read from the catalogs: nothing new slips past.
-- tests/integration/postgres/test_hygiene.py asks the same questions without pgTAP.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions, public;
select no_plan();

create temporary view our_schemas as
select n.oid, n.nspname as schema
from pg_namespace as n
where n.nspname in ('public', 'raw', 'staging', 'ops', 'penstock', 'shop');

create temporary view our_relations as
select
  c.oid, c.relkind, c.relrowsecurity, c.reloptions, c.relacl, c.relowner, s.schema,
  format('%I.%I', s.schema, c.relname) as name
from pg_class as c
join our_schemas as s on s.oid = c.relnamespace
where not exists (
  select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
);

create temporary view our_functions as
select
  p.oid, p.proconfig, p.proacl, p.proowner, p.prorettype, s.schema,
  format('%I.%I(%s)', s.schema, p.proname, pg_get_function_identity_arguments(p.oid)) as name
from pg_proc as p
join our_schemas as s on s.oid = p.pronamespace
where not exists (
  select from pg_depend as d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
);

-- who may do what, but for the owner; a null list is the default one, by which everybody may execute a function
create temporary view our_grants as
select r.name, r.schema, r.relkind::text as kind, g.grantee, lower(g.privilege_type) as privilege, g.is_grantable
from our_relations as r
cross join lateral aclexplode(
  coalesce(r.relacl, acldefault((case r.relkind when 'S' then 's' else 'r' end)::"char", r.relowner))
) as g
where g.grantee <> r.relowner
union all
select f.name, f.schema, 'function', g.grantee, lower(g.privilege_type), g.is_grantable
from our_functions as f
cross join lateral aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) as g
where g.grantee <> f.proowner;

select cmp_ok((select count(*) from our_relations where relkind = 'r'), '>', 5::bigint, 'there are tables to judge');
select cmp_ok((select count(*) from our_functions), '>', 5::bigint, 'there are functions to judge');

select is_empty(
  $$ select name from our_relations where relkind in ('r', 'p') and not relrowsecurity order by name $$,
  'row level security is on for every table'
);
select is_empty(
  $$ select schema from our_schemas where obj_description(oid, 'pg_namespace') is null $$,
  'every schema has a comment'
);
select is_empty(
  $$ select name from our_relations
     where relkind in ('r', 'p', 'v', 'm') and obj_description(oid, 'pg_class') is null order by name $$,
  'every table, view and materialized view has a comment'
);
select is_empty(
  $$ select format('%s.%I', r.name, a.attname)
     from our_relations as r
     join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
     where r.relkind in ('r', 'p', 'v', 'm') and r.schema <> 'staging' and col_description(r.oid, a.attnum) is null
     order by 1 $$,
  'every column that a person sees has a comment'
);
select is_empty(
  $$ select name from our_functions where obj_description(oid, 'pg_proc') is null order by name $$,
  'every function has a comment'
);
select is_empty(
  $$ select name from our_functions where not coalesce(proconfig, '{}') @> array['search_path=""'] order by name $$,
  'every function has an empty search_path'
);
select is_empty(
  $$ select f.name from our_functions as f where not coalesce(f.proconfig, '{}') @> '{jit=off}' and exists (
       select from unnest(f.proconfig) as c (setting) where c.setting like 'enable%'
     ) order by 1 $$,
  'a function that steers the planner compiles nothing: a plan that avoids a join counts as very dear'
);
select is_empty(
  $$ select name from our_functions where schema in ('raw', 'staging') order by name $$,
  'raw and staging hold rows and no function'
);
select is_empty(
  $$ select name from our_grants where schema = 'ops' and kind = 'function' $$,
  'a function in ops is for an operator to call by hand, as the owner'
);
select is_empty(
  $$ select name, privilege from our_grants
     where is_grantable or coalesce(pg_get_userbyid(nullif(grantee, 0)), 'public') not in ('service_role', 'analyst')
     order by 1, 2 $$,
  'what is granted is granted to service_role and analyst alone'
);
select is_empty(
  $$ select name, privilege from our_grants
     where kind <> 'function' and not (
       privilege = 'select'
       or (pg_get_userbyid(grantee) = 'service_role' and privilege in ('insert', 'update', 'delete'))
     )
     order by 1, 2 $$,
  'analyst may read, service_role may read and change rows, nobody anything else'
);
select is_empty(
  $$ select name from our_grants as g join our_functions as f using (name)
     where g.kind = 'function' and f.prorettype = 'trigger'::regtype order by name $$,
  'nobody calls a trigger''s function'
);
select is_empty(
  $$ select name from our_relations
     where relkind = 'v' and not coalesce(reloptions, '{}') && array['security_invoker=true', 'security_invoker=on']
     order by name $$,
  'every view reads with the rights of its caller'
);
select is_empty(
  $$ select format('%s.%s', k.conrelid::regclass, k.conname) from pg_constraint as k
     join our_relations as r on r.oid = k.conrelid
     where k.contype = 'f' and not exists (
       select from pg_index as i
       where i.indrelid = k.conrelid and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey
     ) $$,
  'every foreign key has an index'
);
select is_empty(
  $$ select m.name from our_relations as m where m.relkind = 'm' and not exists (
       select from pg_index as i
       where i.indrelid = m.oid and i.indisunique and i.indpred is null and 0 <> all (i.indkey::smallint[])
     ) $$,
  'every materialized view has a plain unique index, which a concurrent refresh needs'
);

select * from finish();
rollback;
