"""How fresh each view is."""

from dataclasses import dataclass
from datetime import datetime

from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.views.registry import Kind, View, views

_OUTDATED = """
select v.view, v.refreshed_at < now() - interval '1 hour'
from penstock.outdated_views() as outdated (view)
inner join ops.views as v on v.view = outdated.view
order by v.view
"""
_HAS_PG_CRON = """
select exists (
  select from pg_catalog.pg_class as c
  inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
  where n.nspname = 'cron' and c.relname = 'job'
    and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
)
"""
_JOBS = "select jobname from cron.job where active and jobname like 'penstock-refresh-%%'"
_REFRESHED = "select refreshed_at, duration_ms from ops.views where view = %s"


@dataclass(frozen=True)
class Freshness:
    """What was committed before `refreshed_at` is in the view. `duration_ms` is that of the last refresh.

    A table is kept by a projection or the daily ETL, and `refreshed_at` is when that last did something; None: never.
    """

    name: str
    kind: Kind
    refreshed_at: datetime | None
    duration_ms: int | None


def list_views(connection: Connection) -> list[Freshness]:
    """Every readable view and how fresh it is."""
    return [freshness(connection, view) for view in views().values()]


def outdated_views(connection: Connection) -> list[str]:
    """The materialized views whose tables have changed since they were refreshed, and those a day old.

    Not those that pg_cron refreshes, unless it has not done so for an hour.
    """
    with translate_errors():
        found = connection.execute(_OUTDATED).fetchall()
        has_pg_cron = connection.execute(_HAS_PG_CRON).fetchone() == (True,)
        jobs = {job for (job,) in connection.execute(_JOBS, ()).fetchall()} if found and has_pg_cron else set()
    scheduled = {name for name, _ in found if f"penstock-refresh-{name.replace('_', '-')}" in jobs}
    return [name for name, is_old in found if name in views() and (is_old or name not in scheduled)]


def freshness(connection: Connection, view: View) -> Freshness:
    """How fresh one view is."""
    with translate_errors():
        if view.fresh_by is None:
            row = connection.execute(_REFRESHED, (view.name,)).fetchone() or (None, None)
        else:
            row = (*(connection.execute(view.fresh_by.encode()).fetchone() or (None,)), None)
    return Freshness(view.name, view.kind, *row)
