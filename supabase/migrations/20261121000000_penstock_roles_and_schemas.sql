-- Roles and schemas. On Supabase the API's roles exist already; plain Postgres gets the same names, so that every
-- later grant is one text for both. `analyst` is ours: it reads what people query and nothing else.
--   public    what people query and call: the event store, its SQL functions, the figures
--   raw       what arrived, untouched: deliveries, files
--   staging   typed and checked, on its way; rows only
--   ops       what an operator looks at: subscriptions, runs, dead letters, views
--   penstock  the machinery: stream rows, functions behind functions, settings that SQL must know
-- A domain brings a schema of its own for its read models (the sample: shop).

do $$
declare
  wanted record;
begin
  for wanted in
    select *
    from (values
      ('anon', 'nologin'),
      ('authenticated', 'nologin'),
      ('service_role', 'nologin bypassrls'),
      ('analyst', 'nologin')
    ) as roles (name, attributes)
  loop
    begin
      if not exists (select from pg_catalog.pg_roles as r where r.rolname = wanted.name) then
        execute pg_catalog.format('create role %I %s', wanted.name, wanted.attributes);
      end if;
    exception
      -- roles belong to the whole cluster: another database's migration may have been faster
      when duplicate_object or unique_violation then null;
    end;
  end loop;
end $$;

-- in place already, unless PENSTOCK_PUBLIC_SCHEMA names another (docs/deploy.md)
create schema if not exists public;
create schema if not exists raw;
create schema if not exists staging;
create schema if not exists ops;
create schema if not exists penstock;

comment on schema raw is 'What arrived, untouched: webhook deliveries, imported files and their rejected lines.';
comment on schema staging is 'Rows only, typed and checked, on their way to events or tables; may be emptied while nothing runs.';
comment on schema ops is 'What an operator looks at and, for its functions, calls by hand: subscriptions, runs, dead letters, views.';
comment on schema penstock is 'The machinery: stream rows, functions behind functions, settings that SQL must know. Nothing here is called or read by hand.';

revoke all on schema raw, staging, ops, penstock from public;
grant usage on schema raw, staging, ops, penstock to service_role;
grant usage on schema public, penstock to service_role, analyst;
