"""Forget ended runs and resolved dead letters once they are old. Once a day, when little else runs."""

import inngest

from functions.client import client, settings
from penstock.operations import retention


@client.create_function(
    fn_id="purge-history",
    trigger=[inngest.TriggerCron(cron="30 3 * * *"), inngest.TriggerEvent(event="penstock/purge.requested")],
    concurrency=[inngest.Concurrency(limit=1)],
)
def purge_history(ctx: inngest.ContextSync) -> dict[str, int]:
    purged = retention.purge(settings())
    return {"runs": purged.runs, "dead_letters": purged.dead_letters, "abandoned": purged.abandoned}
