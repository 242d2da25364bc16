-- Who may do what, for each role, over every object of the project.
begin;
create extension if not exists pgtap with schema extensions;
set local search_path = extensions, public;
select no_plan();

create temporary view our_relations as
select c.oid, c.relkind, n.nspname as schema, format('%I.%I', n.nspname, c.relname) as name
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('public', 'raw', 'staging', 'ops', 'penstock', 'shop') and c.relkind in ('r', 'p', 'v', 'm', 'S')
  and not exists (
    select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  );

create temporary view our_functions as
select p.oid, p.prorettype, p.oid::regprocedure::text as name
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
where n.nspname in ('public', 'raw', 'staging', 'ops', 'penstock', 'shop')
  and not exists (
    select from pg_depend as d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
  );

create temporary view granted as
select r.rolname as role, o.name, o.schema, o.relkind, privilege
from our_relations as o, pg_roles as r,
  unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as privilege
where r.rolname in ('anon', 'authenticated', 'service_role', 'analyst') and o.relkind <> 'S'
  and has_table_privilege(r.oid, o.oid, privilege);

select is_empty(
  $$ select role, name, privilege from granted where role in ('anon', 'authenticated') order by 1, 2, 3 $$,
  'anon and authenticated have no privilege on any table or view'
);
select is_empty(
  $$ select role, name from unnest(array['anon', 'authenticated']) as role, our_functions
     where has_function_privilege(role, oid, 'execute') order by 1, 2 $$,
  'anon and authenticated may execute no function'
);
select is_empty(
  $$ select role, name from unnest(array['anon', 'authenticated', 'analyst']) as role, our_relations
     where relkind = 'S' and has_sequence_privilege(role, oid, 'usage, update') order by 1, 2 $$,
  'anon, authenticated and analyst may draw from no sequence'
);
select is_empty(
  $$ select role, s from unnest(array['anon', 'authenticated']) as role,
       unnest(array['raw', 'staging', 'ops', 'penstock', 'shop']) as s
     where has_schema_privilege(role, s, 'usage') $$,
  'anon and authenticated may not look into raw, staging, ops, penstock and shop'
);
select is_empty(
  $$ select role, s from unnest(array['anon', 'authenticated', 'analyst']) as role,
       unnest(array['public', 'raw', 'staging', 'ops', 'penstock', 'shop']) as s
     where has_schema_privilege(role, s, 'create') $$,
  'anon, authenticated and analyst may create nothing'
);

select is_empty(
  $$ select name, privilege from granted where role = 'analyst' and privilege <> 'select' order by 1, 2 $$,
  'analyst may write nothing'
);
select is_empty(
  $$ select name from our_relations where schema in ('public', 'shop') and relkind <> 'S'
     and not has_table_privilege('analyst', oid, 'select') order by 1 $$,
  'analyst may read every table and view of public and shop'
);
select is_empty(
  $$ select name from granted where role = 'analyst' and schema in ('raw', 'staging') $$,
  'analyst may not read what arrived: it holds senders'' raw data'
);

select is_empty(
  $$ select name from our_relations where schema in ('public', 'raw', 'ops', 'penstock', 'shop') and relkind <> 'S'
     and not has_table_privilege('service_role', oid, 'select') order by 1 $$,
  'service_role may read every table and view'
);
select set_eq(
  $$ select privilege from granted where role = 'service_role' and name in ('public.event_store', 'penstock.streams') $$,
  array['select'],
  'service_role may only read the event store''s tables'
);
select is_empty(
  $$ select name, privilege from granted
     where role = 'service_role' and privilege in ('truncate', 'references', 'trigger') order by 1, 2 $$,
  'service_role may truncate nothing and hang triggers nowhere'
);

select * from finish();
rollback;
