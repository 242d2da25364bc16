"""Tell Inngest of appended events that no request's background relay told it of: those of a process that died."""

import inngest

from functions.client import client, relay_once


@client.create_function(
    fn_id="relay-events",
    trigger=[inngest.TriggerCron(cron="* * * * *"), inngest.TriggerEvent(event="penstock/relay.requested")],
    concurrency=[inngest.Concurrency(limit=1)],
)
def relay_events(ctx: inngest.ContextSync) -> dict[str, int]:
    relayed = relay_once()
    return {"events": relayed.events, "sent": relayed.sent, "position": relayed.position}
