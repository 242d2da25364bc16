"""Days are cut by two SQL functions: in every zone each instant belongs to exactly one day."""

from datetime import UTC, date, datetime

import psycopg
import pytest

from penstock.settings import Settings
from shop import figures
from tests.shop.projections.store import put

# Every change of any zone's clocks, once for all zones whose clocks show the same around it.
_CHANGES = """
with zone as (
  select z.name from pg_timezone_names as z where z.name not like 'posix%%'
), changed as (
  select zone.name, week.noon
  from zone
  cross join generate_series('1990-01-01 12:00Z'::timestamptz, '2040-12-31 12:00Z', interval '7 days') as week (noon)
  where (week.noon + interval '7 days') at time zone zone.name - week.noon at time zone zone.name <> interval '7 days'
), change as (
  select changed.name, day.noon
  from changed
  cross join lateral generate_series(changed.noon, changed.noon + interval '6 days', interval '1 day') as day (noon)
  where (day.noon + interval '1 day') at time zone changed.name - day.noon at time zone changed.name <> interval '1 day'
), shown as (
  select min(change.name) over (partition by change.noon, clock.clocks) as name, change.noon
  from change
  cross join lateral (
    select array_agg(half.hour at time zone change.name) as clocks
    from generate_series(change.noon - interval '2 hours', change.noon + interval '26 hours', interval '30 minutes')
      as half (hour)
  ) as clock
)
select shown.name, array_agg(distinct shown.noon) from shown group by shown.name order by shown.name
"""
# What is expected is computed without the functions: the latest date that the clocks have shown so far.
_WRONG = """
with clock as (
  select
    change.noon, half.hour as at, penstock.business_day(half.hour) as day,
    max((half.hour at time zone %(zone)s)::date) over (partition by change.noon order by half.hour) as latest
  from unnest(%(noons)s::timestamptz[]) as change (noon)
  cross join lateral
    generate_series(change.noon - interval '4 hours', change.noon + interval '36 hours', interval '30 minutes')
    as half (hour)
), edge as (
  select
    clock.day, min(clock.at) as first, max(clock.at) as last,
    penstock.day_start(clock.day) as start, penstock.day_start(clock.day + 1) as next
  from clock
  group by clock.noon, clock.day
)
select 'latest date', clock.at::text, clock.day, clock.latest from clock where clock.day <> clock.latest
union all
select 'day_start', edge.first::text, edge.day, null from edge where edge.first < edge.start or edge.last >= edge.next
union all
select 'the moment before', edge.start::text, edge.day, penstock.business_day(edge.start - interval '1 microsecond')
from edge
where penstock.business_day(edge.start) <> edge.day
  or penstock.business_day(edge.start - interval '1 microsecond') >= edge.day
limit 3
"""


def _in_zone(connection: psycopg.Connection, zone: str) -> None:
    connection.execute("update penstock.configuration set timezone = %s", (zone,))


def test_each_instant_belongs_to_one_day_in_every_zone(connection: psycopg.Connection) -> None:
    connection.execute("set jit = off")
    zones = connection.execute(_CHANGES).fetchall()
    wrong = []
    for zone, noons in zones:
        _in_zone(connection, zone)
        wrong += [(zone, *row) for row in connection.execute(_WRONG, {"zone": zone, "noons": noons}).fetchall()]
    assert len(zones) > 100
    assert wrong == []


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        ("UTC", date(2024, 3, 31), datetime(2024, 3, 31, tzinfo=UTC), 24),
        ("Europe/Paris", date(2024, 3, 31), datetime(2024, 3, 30, 23, tzinfo=UTC), 23),
        # midnight comes twice: the first begins the day
        ("America/Havana", date(2024, 11, 3), datetime(2024, 11, 3, 4, tzinfo=UTC), 25),
        ("Atlantic/Azores", date(2024, 10, 27), datetime(2024, 10, 27, 0, tzinfo=UTC), 25),
        # at 00:01 back to 23:01 of the day before: the new day has begun
        ("America/St_Johns", date(2006, 10, 29), datetime(2006, 10, 29, 2, 30, tzinfo=UTC), 25),
        # midnight is skipped: the day begins at 01:00
        ("America/Asuncion", date(2022, 10, 2), datetime(2022, 10, 2, 4, tzinfo=UTC), 23),
        # a day that the calendar skipped is empty
        ("Pacific/Apia", date(2011, 12, 30), datetime(2011, 12, 30, 10, tzinfo=UTC), 0),
        ("Pacific/Apia", date(2011, 12, 31), datetime(2011, 12, 30, 10, tzinfo=UTC), 24),
    ],
)
def test_a_day_begins_when_the_clocks_first_show_it(
    connection: psycopg.Connection, zone: str, day: date, start: datetime, hours: int
) -> None:
    _in_zone(connection, zone)
    row = connection.execute(
        "select penstock.day_start(%s), extract(epoch from penstock.day_start(%s + 1) - penstock.day_start(%s)) / 3600",
        (day, day, day),
    ).fetchone()
    assert row == (start, hours)


def test_nothing_else_cuts_days(connection: psycopg.Connection) -> None:
    """The source of every function and view: `at time zone` the business's zone is in these two alone."""
    rows = connection.execute(
        """
        select p.oid::regprocedure::text from pg_proc as p
        inner join pg_namespace as n on n.oid = p.pronamespace
        where n.nspname in ('public', 'ops', 'staging', 'raw', 'penstock', 'shop')
          and p.prosrc ~* 'at time zone (zone|\\w+\\.timezone|\\()'
        union all
        select c.oid::regclass::text from pg_class as c
        inner join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname in ('public', 'ops') and c.relkind in ('v', 'm')
          and pg_get_viewdef(c.oid) ~* 'at time zone|timezone\\('
        """
    ).fetchall()
    assert {name for (name,) in rows} == {"penstock.day_start(date)", "penstock.business_day(timestamp with time zone)"}


def test_an_order_of_the_hour_that_comes_twice_is_in_one_day_and_month(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """Havana, the first of November 2015: the clocks showed 00:00 at 04:00Z and again at 05:00Z."""
    _in_zone(connection, "America/Havana")
    for number, hour in enumerate(("03:59", "04:00", "04:30", "05:30")):
        stream = f"order/o{number}"
        put(connection, stream, "OrderPlaced", {"placed_at": f"2015-11-01T{hour}:00Z", "total": "1", "items": []})
        put(connection, stream, "OrderCompleted", {})
    for day in (date(2015, 10, 31), date(2015, 11, 1)):
        figures.run_range(settings, day, day)
    connection.execute("select public.refresh_materialized_view('monthly_revenue')")
    days = connection.execute("select day, order_count from public.daily_analytics order by day").fetchall()
    months = connection.execute("select month, order_count from public.monthly_revenue order by month").fetchall()
    assert days == [(date(2015, 10, 31), 1), (date(2015, 11, 1), 3)]
    assert months == [(date(2015, 10, 1), 1), (date(2015, 11, 1), 3)]
