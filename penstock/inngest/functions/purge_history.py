"""Forget what no longer helps: old runs, letters, deliveries, uploads. Once a day, when little else runs."""

from dataclasses import asdict

import inngest

from penstock.inngest.client import client, settings
from penstock.operations import retention
from penstock.relay.event_names import PURGE_REQUESTED


@client.create_function(
    fn_id="purge-history",
    trigger=[inngest.TriggerCron(cron="30 3 * * *"), inngest.TriggerEvent(event=PURGE_REQUESTED)],
    concurrency=[inngest.Concurrency(limit=1)],
)
def purge_history(ctx: inngest.ContextSync) -> dict[str, int]:
    return asdict(retention.purge(settings()))
