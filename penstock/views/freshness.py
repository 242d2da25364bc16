"""How fresh each view is."""

from dataclasses import dataclass
from datetime import datetime

from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.views.registry import Kind, View, views

_OUTDATED = "select * from penstock.outdated_views()"
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
    """The materialized views whose tables have changed since they were refreshed, and those a day old."""
    with translate_errors():
        names = [name for (name,) in connection.execute(_OUTDATED).fetchall()]
    return [name for name in names if name in views()]


def freshness(connection: Connection, view: View) -> Freshness:
    """How fresh one view is."""
    with translate_errors():
        if view.fresh_by is None:
            row = connection.execute(_REFRESHED, (view.name,)).fetchone() or (None, None)
        else:
            row = (*(connection.execute(view.fresh_by.encode()).fetchone() or (None,)), None)
    return Freshness(view.name, view.kind, *row)
