"""Forget what no longer helps: old runs, letters, deliveries, uploads. Once a day, when little else runs."""

from dataclasses import asdict

import inngest

from penstock.inngest.client import client, settings
from penstock.operations import retention


@client.create_function(
    fn_id="purge-history",
    trigger=[inngest.TriggerCron(cron="30 3 * * *"), inngest.TriggerEvent(event="penstock/purge.requested")],
    concurrency=[inngest.Concurrency(limit=1)],
)
def purge_history(ctx: inngest.ContextSync) -> dict[str, int]:
    return asdict(retention.purge(settings()))
