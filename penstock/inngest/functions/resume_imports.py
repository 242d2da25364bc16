"""Go on with imports that nobody works on: the event that requested one was lost, or a worker died for good."""

import inngest

from penstock.ingest.files.stalled import stalled_imports
from penstock.inngest.client import client, settings
from penstock.relay.event_names import IMPORT_REQUESTED, RESUME_REQUESTED


@client.create_function(
    fn_id="resume-imports",
    trigger=[inngest.TriggerCron(cron="*/5 * * * *"), inngest.TriggerEvent(event=RESUME_REQUESTED)],
    concurrency=[inngest.Concurrency(limit=1)],
)
def resume_imports(ctx: inngest.ContextSync) -> dict[str, int]:
    stalled = ctx.step.run("find", lambda: [str(import_id) for import_id in stalled_imports(settings())])
    if stalled:
        requests = [inngest.Event(name=IMPORT_REQUESTED, data={"import_id": found}) for found in stalled]
        ctx.step.send_event("request", requests)
    return {"resumed": len(stalled)}
