-- What a hosted Supabase database has before the first migration, as far as migrations and lints depend on it:
-- the API's roles, the schema for extensions, no grants on new objects in public (since 2026-10-30), and a role
-- `postgres` that owns the database without being a superuser. Run as the superuser, named as the hosted one is.
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
create role postgres login createdb createrole replication bypassrls;
grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role to postgres with admin option;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';

do $$ begin
  execute format('alter database %I owner to postgres', current_database());
  execute format('alter database %I set search_path = "$user", public, extensions', current_database());
end $$;
alter schema public owner to postgres;

create schema extensions authorization postgres;
create extension plpgsql_check schema extensions;
grant usage on schema extensions to postgres, anon, authenticated, service_role;
grant usage on schema public to anon, authenticated, service_role;

create extension pg_cron with schema pg_catalog;
grant usage on schema cron to postgres with grant option;
grant all on all tables in schema cron to postgres with grant option;
grant all on all functions in schema cron to postgres with grant option;
