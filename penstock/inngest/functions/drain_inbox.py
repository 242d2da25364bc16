"""Turn stored webhook deliveries into events, when one has come in; the sweep finds those that this missed."""

import time
from datetime import UTC, datetime

import inngest

from penstock.ingest import webhooks
from penstock.inngest.client import client, settings
from penstock.inngest.relay import relay
from penstock.pipelines import runs
from penstock.relay.event_names import DELIVERY_RECEIVED
from penstock.relay.outbox import OutgoingEvent

PORTION = 200
# A minute's work, well inside any host's time limit; a run of its own goes on with what is left.
MOST = 10_000
# One that the database failed is due again after seconds: nearly always it is done in the same run.
PATIENCE_SECONDS = 15.0


@client.create_function(
    fn_id="drain-inbox",
    trigger=inngest.TriggerEvent(event=DELIVERY_RECEIVED),
    concurrency=[inngest.Concurrency(limit=1)],
)
def drain_inbox(ctx: inngest.ContextSync) -> dict[str, int]:
    began = datetime.now(UTC)
    deadline = time.monotonic() + PATIENCE_SECONDS
    deliveries = _work()
    while deliveries < MOST and (pause := webhooks.seconds_until_due(settings())) is not None:
        pause = max(1.0, pause)  # one that is due and was not worked is in another worker's hands
        if time.monotonic() + pause > deadline:
            break
        time.sleep(pause)
        deliveries += _work()
    runs.record_wake(settings(), "drain_inbox", began, deliveries)
    if deliveries:
        relay.run_now()
    if deliveries >= MOST:
        relay.send([OutgoingEvent.of(DELIVERY_RECEIVED, f"deliveries-{ctx.run_id}", {})])
    return {"deliveries": deliveries}


def _work() -> int:
    deliveries = 0
    while worked := webhooks.append_deliveries(settings(), limit=PORTION):
        deliveries += worked
        if worked < PORTION or deliveries >= MOST:
            break
    return deliveries
