"""Find work whose notification was lost, by cron, and have it done: the one function that looks at everything.

Nothing waits for it in normal use: an append, a delivery, a file notifies what it concerns. What is lost on the way (a
process that died, an outage) is found here: events that were not published, projections and deliveries that are
behind, imports that nobody works on. Views whose tables have changed are refreshed from here alone. A sweep that finds
nothing is one run without a step. `PENSTOCK_SWEEP_MINUTES` says how often.

`penstock/sweep.requested` does the same at once; with `{"forgotten": true}` it says that Inngest lost its state, and
what it took within the last minute is published again.
"""

from collections.abc import Callable, Iterator
from typing import Any

import inngest

from penstock import projections, views
from penstock.ingest import webhooks
from penstock.ingest.files.stalled import stalled_imports
from penstock.inngest.client import client, settings
from penstock.inngest.error_policy import in_turn
from penstock.inngest.relay import relay
from penstock.postgres import pool
from penstock.relay.event_names import (
    DELIVERY_RECEIVED,
    IMPORT_REQUESTED,
    PROJECTIONS_BEHIND,
    SWEEP_REQUESTED,
    VIEWS_REQUESTED,
)
from penstock.relay.outbox import OutgoingEvent
from penstock.settings import sweep_minutes


def cron(minutes: int) -> str:
    """Each hour, or every so many minutes of it."""
    return "0 * * * *" if minutes == 60 else f"*/{minutes} * * * *"


@client.create_function(
    fn_id="sweep",
    trigger=[inngest.TriggerCron(cron=cron(sweep_minutes())), inngest.TriggerEvent(event=SWEEP_REQUESTED)],
    concurrency=[inngest.Concurrency(limit=1)],
)
def sweep(ctx: inngest.ContextSync) -> dict[str, Any]:
    if ctx.event.data.get("forgotten") is True and ctx.attempt == 0:
        relay.published.lose()
    looked, failed = in_turn(_LOOKS, lambda look: list(look(ctx.run_id)))
    if found := [event for events in looked for event in events]:
        relay.send(found)
    if failed:
        raise failed[0]
    return {"found": [{"event": event.name, **event.data} for event in found]}


def _unpublished(run_id: str) -> Iterator[OutgoingEvent]:
    if not relay.once().caught_up:
        yield OutgoingEvent.of(SWEEP_REQUESTED, f"sweep-{run_id}", {})


def _projections(run_id: str) -> Iterator[OutgoingEvent]:
    if behind := projections.find_behind(settings()):
        yield OutgoingEvent.of(PROJECTIONS_BEHIND, f"behind-{run_id}", {"projections": behind})


def _deliveries(run_id: str) -> Iterator[OutgoingEvent]:
    pause = webhooks.seconds_until_due(settings())
    if pause is not None and pause <= 0:
        yield OutgoingEvent.of(DELIVERY_RECEIVED, f"deliveries-{run_id}", {})


def _imports(run_id: str) -> Iterator[OutgoingEvent]:
    for import_id in stalled_imports(settings()):
        yield OutgoingEvent.of(IMPORT_REQUESTED, f"import-{import_id}-{run_id}", {"import_id": str(import_id)})


def _views(run_id: str) -> Iterator[OutgoingEvent]:
    with pool.connection(settings()) as connection:
        outdated = views.outdated_views(connection)
    if outdated:
        yield OutgoingEvent.of(VIEWS_REQUESTED, f"views-{run_id}", {"views": outdated})


_LOOKS: tuple[Callable[[str], Iterator[OutgoingEvent]], ...] = (
    _unpublished,
    _projections,
    _deliveries,
    _imports,
    _views,
)
