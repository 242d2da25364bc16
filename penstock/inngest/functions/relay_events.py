"""Publish appended events that no request's background relay has published: those of a process that died.

`penstock/relay.requested` has all projections look at the store, too; with `{"forgotten": true}` it says that Inngest
lost its state, and what it took within the last minute is published again.
"""

import inngest

from penstock.inngest.client import client
from penstock.inngest.relay import relay
from penstock.relay.event_names import RELAY_REQUESTED


@client.create_function(
    fn_id="relay-events",
    trigger=[inngest.TriggerCron(cron="* * * * *"), inngest.TriggerEvent(event=RELAY_REQUESTED)],
    concurrency=[inngest.Concurrency(limit=1)],
)
def relay_events(ctx: inngest.ContextSync) -> dict[str, int]:
    if ctx.event.data.get("forgotten") is True and ctx.attempt == 0:
        relay.published.lose()
    relayed = relay.once()
    if ctx.event.name == RELAY_REQUESTED:
        relay.notify_subscriptions(relayed.position, ctx.run_id)
    return {"events": relayed.events, "sent": relayed.sent, "position": relayed.position}
