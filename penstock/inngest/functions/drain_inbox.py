"""Turn stored webhook deliveries into events: when one has come in, and each minute for what that missed."""

from datetime import UTC, datetime

import inngest

from penstock.ingest import webhooks
from penstock.inngest.client import client, settings
from penstock.inngest.relay import relay
from penstock.pipelines import runs
from penstock.relay.event_names import DELIVERY_RECEIVED

PORTION = 200
# A minute's work, well inside any host's time limit; the next minute's cron goes on with what is left.
MOST = 10_000


@client.create_function(
    fn_id="drain-inbox",
    trigger=[inngest.TriggerEvent(event=DELIVERY_RECEIVED), inngest.TriggerCron(cron="* * * * *")],
    concurrency=[inngest.Concurrency(limit=1)],
)
def drain_inbox(ctx: inngest.ContextSync) -> dict[str, int]:
    began = datetime.now(UTC)
    deliveries = 0
    while worked := webhooks.append_deliveries(settings(), limit=PORTION):
        deliveries += worked
        if worked < PORTION or deliveries >= MOST:
            break
    runs.record_wake(settings(), "drain_inbox", began, deliveries)
    if deliveries:
        relay.run_now()
    return {"deliveries": deliveries}
