"""Refresh materialized views: those that the sweep found changed, or all; `views/refresh.requested` may name `views`.

As many as its time allows in one call, without a step each: what is left then is asked for again.
"""

import time
from collections.abc import Iterator
from typing import Any

import inngest

from penstock import views
from penstock.errors import InvalidInput
from penstock.inngest.client import client, correlation_of, settings
from penstock.inngest.error_policy import in_turn
from penstock.inngest.relay import relay
from penstock.pipelines import runs
from penstock.postgres import pool
from penstock.relay.event_names import VIEWS_REQUESTED
from penstock.relay.outbox import OutgoingEvent

SECONDS_A_RUN = 20.0


@client.create_function(
    fn_id="refresh-views",
    trigger=inngest.TriggerEvent(event=VIEWS_REQUESTED),
    concurrency=[inngest.Concurrency(limit=1)],
)
def refresh_views(ctx: inngest.ContextSync) -> dict[str, Any]:
    left = _wanted(ctx.event)
    refreshed, failed = in_turn(_in_time(left), lambda name: _refresh(name, correlation_of(ctx)))
    if left:
        relay.send([OutgoingEvent.of(VIEWS_REQUESTED, f"views-{ctx.run_id}", {"views": left})])
    if failed:
        raise failed[0]
    return {"views": refreshed, "left": left}


def _in_time(names: list[str]) -> Iterator[str]:
    """Take names from the list while there is time; the first in any case."""
    deadline = time.monotonic() + SECONDS_A_RUN
    while names:
        yield names.pop(0)
        if time.monotonic() > deadline:
            break


def _wanted(event: inngest.Event) -> list[str]:
    """All materialized views, or those that the event names; an unknown name refuses the whole request."""
    named = event.data.get("views")
    if named is None:
        return [view.name for view in views.views().values() if view.kind == "materialized"]
    if not isinstance(named, list) or not named:
        raise InvalidInput("is not a list of names", field="views")
    return [views.find_view(str(name)).name for name in dict.fromkeys(named)]


def _refresh(name: str, correlation_id: str) -> dict[str, Any]:
    with runs.record_run(settings(), "refresh_views", correlation_id) as run:
        with pool.connection(settings()) as connection:
            done = views.refresh_view(connection, name)
        run.details = {"view": name, "duration_ms": done.duration_ms, "coalesced": done.coalesced}
    return {"view": name, "refreshed_at": done.refreshed_at.isoformat(), "duration_ms": done.duration_ms}
