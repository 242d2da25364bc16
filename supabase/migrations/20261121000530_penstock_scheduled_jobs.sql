-- Jobs inside the database, where pg_cron is to be had (on Supabase it is): refresh every materialized view each 15
-- minutes, and purge pg_cron's own log, which nobody else does. A migration that registers views of its own schedules
-- them by calling ops.schedule_jobs() again. Elsewhere nothing is scheduled, and the Inngest functions, of which the sweep
-- has the views refreshed that have changed, are enough. Times are GMT.

create function ops.schedule_jobs() returns setof text
language plpgsql volatile
set search_path = ''
as $$
declare
  refresh record;
begin
  -- one job for each view, a minute apart: each refresh is a transaction of its own, and they do not compete
  for refresh in
    select
      'penstock-refresh-' || replace(v.view, '_', '-') as job,
      format('%s-59/15 * * * *', (row_number() over (order by v.view) - 1) % 15) as schedule,
      format('select public.refresh_materialized_view(%L)', v.view) as command
    from ops.views as v
    order by v.view
  loop
    perform cron.schedule(refresh.job, refresh.schedule, refresh.command);
    return next refresh.job;
  end loop;
  perform cron.schedule(
    'penstock-purge-cron-history', '17 3 * * *',
    'delete from cron.job_run_details where coalesce(end_time, start_time) < now() - interval ''7 days'''
  );
  return next 'penstock-purge-cron-history';
end $$;
comment on function ops.schedule_jobs() is
  'Give pg_cron its jobs, by name: a second call changes nothing. Call it after switching pg_cron on or registering a view.';
revoke execute on function ops.schedule_jobs() from public, anon, authenticated;

do $$
begin
  if exists (
    select from pg_catalog.pg_available_extensions as a where a.name = 'pg_cron' and a.installed_version is null
  ) then
    begin
      create extension pg_cron with schema pg_catalog;
    exception
      -- Only pg_cron's own database can have it, only where the server has loaded it, and asking for either takes
      -- rights that a database's owner may lack: any refusal means that there is no pg_cron here.
      when others then raise notice 'nothing is scheduled, since pg_cron is not usable here: %', sqlerrm;
    end;
  end if;
  if exists (select from pg_catalog.pg_extension as e where e.extname = 'pg_cron') then
    perform ops.schedule_jobs();
  end if;
end $$;
