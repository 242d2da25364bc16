"""Refresh a materialized view: once for all who ask while it runs."""

from dataclasses import dataclass
from datetime import datetime

from penstock.errors import InvalidInput
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.views.registry import find_view


@dataclass(frozen=True)
class Refreshed:
    """What was committed before the call is in the view.

    `coalesced`: another call's refresh, which began after this call, did the work; `refreshed_at` is when it began.
    """

    view: str
    refreshed_at: datetime
    duration_ms: int
    coalesced: bool


def refresh_view(connection: Connection, name: str) -> Refreshed:
    """Refresh while others go on reading the rows of before.

    Raises `NotFound` for an unknown name and `InvalidInput` for a table, which has nothing to refresh. Waits for a
    refresh of the same view that runs already.
    """
    if find_view(name).kind != "materialized":
        raise InvalidInput(f"{name} is a table, always as fresh as what fills it: there is nothing to refresh")
    with translate_errors():
        row = connection.execute("select public.refresh_materialized_view(%s)", (name,)).fetchone()
    assert row is not None
    answer = row[0]
    return Refreshed(
        answer["view"], datetime.fromisoformat(answer["refreshed_at"]), answer["duration_ms"], answer["coalesced"]
    )
