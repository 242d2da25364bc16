"""How Penstock is doing, in numbers: what monitoring asks for, and what shows a dashboard that something moved."""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import dict_row

from penstock.errors import DatabaseUnavailable, PenstockError
from penstock.event_store import high_water_mark
from penstock.postgres import migrations, pool
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.projections import projections
from penstock.settings import Settings
from penstock.views import list_views

GRACE_SECONDS: Final = 300
"""A subscription is late if an event that it has not dealt with is older than a sweep's interval and this."""
IMPORTS_NAMED: Final = 20
"""Of imports that left lines out the latest are named."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """`lag` is in positions, `lag_seconds` the age of the oldest event that it has not dealt with; 0 if there is none.

    For a projection that is an event of its types.
    """

    subscription: str
    position: int
    lag: int
    lag_seconds: float
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Measurements:
    """`runs` are those of the last day, by pipeline and status; `dead_letters` the open ones, by kind."""

    high_water_mark: int
    events: int
    subscriptions: list[Subscription]
    runs: list[tuple[str, str, int]]
    dead_letters: list[tuple[str, int]]


def measure(connection: Connection) -> Measurements:
    safe = high_water_mark(connection)
    with translate_errors():
        runs = connection.execute(_RUNS).fetchall()
        letters = connection.execute(_DEAD_LETTERS).fetchall()
        row = connection.execute(_EVENTS).fetchone()
    assert row is not None
    return Measurements(safe, int(row[0]), subscriptions(connection, safe), runs, letters)


def subscriptions(connection: Connection, safe: int) -> list[Subscription]:
    """Every subscription and how far behind `safe` it is."""
    with translate_errors():
        rows = connection.execute(_SUBSCRIPTIONS).fetchall()
        return [_measured(connection, safe, *row) for row in rows]


def _measured(connection: Connection, safe: int, name: str, position: int, updated_at: datetime) -> Subscription:
    """A subscription that is not a projection of this deployment (the relay, a former one) has to do with all types."""
    if position >= safe:
        return Subscription(name, position, 0, 0.0, updated_at)
    projection = projections().get(name)
    span = {"after": position, "upto": safe, "event_types": list(projection.event_types) if projection else None}
    # planned for these very types: of rare ones no event may be near
    row = connection.execute(_OLDEST, span, prepare=False).fetchone()
    lag, age = (safe - position, row[0]) if row else (0, 0.0)
    return Subscription(name, position, lag, age, updated_at)


def late_seconds(settings: Settings) -> int:
    """How old an event may be that a subscription has not dealt with: a sweep finds it if no notification came."""
    return 60 * settings.sweep_minutes + GRACE_SECONDS


def late_subscriptions(connection: Connection, settings: Settings, safe: int) -> list[Subscription]:
    limit = late_seconds(settings)
    return [each for each in subscriptions(connection, safe) if each.lag_seconds > limit]


def alerts(connection: Connection, settings: Settings) -> list[dict[str, Any]]:
    """What needs a human, the most urgent kind first.

    Failing pipelines, subscriptions that lag, open dead letters, imports that failed or left lines out.
    """
    safe = high_water_mark(connection)
    late = late_subscriptions(connection, settings, safe)
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        failing = cursor.execute(_FAILING).fetchall()
        letters = cursor.execute(_LETTERS).fetchall()
    return [
        *({"kind": "failing-pipeline", "name": row.pop("pipeline"), **row} for row in failing),
        *(
            {
                "kind": "late-subscription",
                "name": each.subscription,
                "since": each.updated_at,
                "message": f"{each.lag} positions behind, the oldest event waits for {each.lag_seconds:.0f} seconds",
                "count": each.lag,
            }
            for each in late
        ),
        *({"kind": "dead-letters", "name": row.pop("source"), **row} for row in letters),
        *incomplete_imports(connection),
    ]


def incomplete_imports(connection: Connection) -> list[dict[str, Any]]:
    """Imports that failed or ended with too many faults within a week, or have held orders back for more than a day.

    One that failed is not named any more when the same file, or another of its name, has been loaded since.
    """
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_INCOMPLETE, (IMPORTS_NAMED,)).fetchall()


def what_is_missing(settings: Settings) -> list[str]:
    """What keeps the app from serving: the database, its migrations. Empty: ready.

    On a connection of its own: a pool would go on trying for longer than a caller waits.
    """
    try:
        with closing(pool.connect(settings.database_url)) as connection:
            if fault := migrations.migration_fault(connection):
                return [fault]
            row = connection.execute("select to_regprocedure('penstock.high_water_mark()') is not null").fetchone()
            return [] if row == (True,) else ["the database has no event store: apply the migrations"]
    except DatabaseUnavailable:
        return ["the database cannot be reached"]
    except PenstockError as error:
        return [str(error)]


def what_moves(connection: Connection) -> dict[str, Any]:
    """Every subscription's position and every view's `refreshed_at`: equal means that no figure has changed."""
    with translate_errors():
        rows = connection.execute("select subscription, position from ops.subscriptions order by 1").fetchall()
    views = {view.name: view.refreshed_at for view in list_views(connection)}
    return {"subscriptions": dict(rows), "views": views}


_EVENTS = "select coalesce(sum(version), 0) from penstock.streams"
_RUNS = """
select pipeline, status, count(*) from ops.runs where started_at > now() - interval '1 day' group by 1, 2 order by 1, 2
"""
_DEAD_LETTERS = "select kind, count(*) from ops.dead_letters where resolved_at is null group by 1 order by 1"
_SUBSCRIPTIONS = "select subscription, position, updated_at from ops.subscriptions order by subscription"
_OLDEST = """
select extract(epoch from clock_timestamp() - e.created_at)::float8 from public.event_store as e
where e.position > %(after)s and e.position <= %(upto)s
  and (%(event_types)s::text[] is null or e.event_type = any(%(event_types)s::text[]))
order by e.position limit 1
"""
# Failing: the last run that ended, ended badly. How often in a row says whether it is an accident.
_FAILING = """
with ended as (
  select r.*, row_number() over (partition by r.pipeline order by r.started_at desc) as place,
    sum((r.status <> 'failed')::integer) over (partition by r.pipeline order by r.started_at desc) as good_ones
  from ops.runs as r
  where r.status <> 'running' and r.started_at > now() - interval '7 days'
    and r.pipeline <> 'import_file' -- a file that cannot be loaded is named by itself, below
)
select pipeline, min(started_at) as since, max(error) filter (where place = 1) as message, count(*) as count
from ended where good_ones = 0 group by pipeline order by pipeline
"""
# what has completed its held orders since is not counted as at fault any more
_INCOMPLETE = """
select case i.state when 'failed' then 'failed-import' else 'incomplete-import' end as kind, i.source_name as name,
  i.finished_at as since, i.rejected + i.held as count,
  case i.state
    when 'failed' then concat('import ', i.id, ' into ', i.target, ' failed after ', i.rows_read, ' lines: ', i.error)
    else concat('import ', i.id, ' into ', i.target, ': of ', i.rows_read, ' lines ', i.rejected, ' were rejected and ',
      i.held, ' are held')
  end as message
from raw.imports as i
where i.state = 'failed' and i.finished_at > now() - interval '7 days'
    and not starts_with(i.content_sha256, 'upload ') -- one whose file never came
    and not exists (
      select from raw.imports as later
      where later.target = i.target and later.created_at >= i.created_at
        and (
          later.content_sha256 = i.content_sha256
          -- `upload` is the name of all that were sent without one
          or later.source_name = i.source_name and i.source_name <> 'upload'
        )
        and later.state in ('completed', 'completed_with_rejects')
    )
  or i.state in ('completed', 'completed_with_rejects') and (
    i.state = 'completed_with_rejects' and i.rejected + i.held > i.reject_share * i.rows_read
      and i.finished_at > now() - interval '7 days'
    or i.held > 0 and i.finished_at < now() - interval '1 day')
order by i.finished_at desc limit %s
"""
_LETTERS = """
select source, min(created_at) as since, (array_agg(reason order by created_at desc))[1] as message, count(*) as count
from ops.dead_letters where resolved_at is null group by kind, source order by kind, source
"""
