"""Refresh the materialized views, every 15 minutes and on request; `views/refresh.requested` may name `views`."""

from typing import Any

import inngest

from penstock import views
from penstock.errors import InvalidInput
from penstock.inngest.client import client, correlation_of, settings
from penstock.pipelines import runs
from penstock.postgres import pool
from penstock.relay.event_names import VIEWS_REQUESTED


@client.create_function(
    fn_id="refresh-views",
    trigger=[inngest.TriggerCron(cron="*/15 * * * *"), inngest.TriggerEvent(event=VIEWS_REQUESTED)],
    concurrency=[inngest.Concurrency(limit=1)],
)
def refresh_views(ctx: inngest.ContextSync) -> dict[str, Any]:
    wanted = _wanted(ctx.event)
    return {"views": [ctx.step.run(f"refresh-{name}", _refresh, name, correlation_of(ctx)) for name in wanted]}


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
