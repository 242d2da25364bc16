-- Business time: the zone in which days and months begin, and which times are plausible.
--   penstock.configuration       one row: what SQL must know of the settings
--   penstock.business_timezone, day_start, business_day   days, cut once for SQL and Python alike
--   penstock.is_plausible_time   the bounds for what comes in

create table penstock.configuration (
  singleton boolean not null default true,
  timezone text not null default 'UTC',
  earliest_day date not null default '1990-01-01',
  constraint configuration_pkey primary key (singleton),
  constraint configuration_one_row check (singleton)
);
comment on table penstock.configuration is 'One row: what SQL must know of the settings. Written by `penstock migrate` from the environment.';
comment on column penstock.configuration.singleton is 'Always true: there is one row.';
comment on column penstock.configuration.timezone is 'PENSTOCK_TIMEZONE: the IANA zone in which days and months begin.';
comment on column penstock.configuration.earliest_day is 'PENSTOCK_EARLIEST_DAY: no event that comes in may be older.';
alter table penstock.configuration enable row level security;
revoke all on penstock.configuration from public, anon, authenticated, service_role;
grant select, update on penstock.configuration to service_role;
insert into penstock.configuration default values;

create function penstock.business_timezone() returns text
language sql stable
set search_path = ''
as $$ select c.timezone from penstock.configuration as c $$;
comment on function penstock.business_timezone() is 'The IANA zone in which days and months begin (PENSTOCK_TIMEZONE).';
revoke execute on function penstock.business_timezone() from public, anon, authenticated;
grant execute on function penstock.business_timezone() to service_role, analyst;

-- Days are cut by these two functions alone: [day_start(day), day_start(day + 1)) is the day, so that each instant
-- belongs to exactly one. Clocks may show midnight twice (Havana), go back over it when the new day is a minute old
-- (St John's), skip midnight (Asuncion) or a whole day (Apia: that one is empty). A day that has begun goes on.
create function penstock.day_start(day date) returns timestamptz
language plpgsql stable
set search_path = ''
as $$
declare
  zone constant text := penstock.business_timezone();
  midnight constant timestamp := day;
  guess constant timestamptz := midnight at time zone zone;
  -- how far UTC is behind the zone's clocks, a day before and a day after
  before constant interval := (guess - interval '24 hours') at time zone zone - (guess - interval '24 hours') at time zone 'UTC';
  after constant interval := (guess + interval '24 hours') at time zone zone - (guess + interval '24 hours') at time zone 'UTC';
begin
  if before = after then
    return guess;
  end if;
  return (
    select min(minute.start)
    from generate_series(
      (midnight - greatest(before, after)) at time zone 'UTC', (midnight - least(before, after)) at time zone 'UTC',
      interval '1 minute'
    ) as minute (start)
    where minute.start at time zone zone >= midnight
  );
end $$;
comment on function penstock.day_start(date) is
  'The first instant of a day in penstock.business_timezone(): when its clocks first show that date, or a later one.';
revoke execute on function penstock.day_start(date) from public, anon, authenticated;
grant execute on function penstock.day_start(date) to service_role, analyst;

create function penstock.business_day(instant timestamptz) returns date
language plpgsql stable
set search_path = ''
as $$
declare
  zone constant text := penstock.business_timezone();
  clock constant timestamp := instant at time zone zone;
begin
  -- only within a day after the clocks went back can they show a date that was over already
  if clock - (instant - interval '24 hours') at time zone zone < interval '24 hours'
    and penstock.day_start(clock::date + 1) <= instant then
    return clock::date + 1;
  end if;
  return clock::date;
end $$;
comment on function penstock.business_day(timestamptz) is
  'The day, in penstock.business_timezone(), to which an instant belongs: the last whose day_start it has reached.';
revoke execute on function penstock.business_day(timestamptz) from public, anon, authenticated;
grant execute on function penstock.business_day(timestamptz) to service_role, analyst;

create function penstock.is_plausible_time(instant timestamptz) returns boolean
language sql stable
set search_path = ''
as $$
  select instant >= penstock.day_start(c.earliest_day) and instant <= clock_timestamp() + interval '24 hours'
  from penstock.configuration as c
$$;
comment on function penstock.is_plausible_time(timestamptz) is
  'Whether an event may have this time: from PENSTOCK_EARLIEST_DAY to a day from now. For what comes in, not for what is stored.';
revoke execute on function penstock.is_plausible_time(timestamptz) from public, anon, authenticated;
grant execute on function penstock.is_plausible_time(timestamptz) to service_role, analyst;
