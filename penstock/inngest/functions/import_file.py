"""Work on an import, or on its undo, a minute a step, until it is final: `import/file.requested` with `{"import_id"}`.

Then the daily figures of the days that it changed are asked for.

The file, its place in it and its counts stay in Postgres and Storage; a step carries references and counts alone.
"""

from typing import Any
from uuid import UUID

import inngest

from penstock.errors import InvalidInput
from penstock.ingest import files
from penstock.inngest.client import client, settings
from penstock.inngest.relay import relay
from penstock.pipelines import runs
from penstock.relay.event_names import IMPORT_LOADED, IMPORT_REQUESTED

SECONDS_A_STEP = 60.0
# Inngest allows 1,000 steps a run; a file that needs more than eight hours goes on in a run of its own.
MAX_STEPS = 500


@client.create_function(
    fn_id="import-file",
    trigger=inngest.TriggerEvent(event=IMPORT_REQUESTED),
    concurrency=[inngest.Concurrency(limit=1, key="event.data.import_id")],
)
def import_file(ctx: inngest.ContextSync) -> dict[str, Any]:
    import_id = _import_id(ctx.event)
    run_id = runs.run_id_of(ctx.run_id)
    for number in range(1, MAX_STEPS + 1):
        imported = ctx.step.run(f"advance-{number}", _advance, import_id, run_id)
        if imported["is_final"]:
            if imported["loaded"]:
                ctx.step.send_event("loaded", inngest.Event(name=IMPORT_LOADED, data={"import_id": str(import_id)}))
            return imported
    ctx.step.send_event("go-on", inngest.Event(name=IMPORT_REQUESTED, data={"import_id": str(import_id)}))
    return imported


def _import_id(event: inngest.Event) -> UUID:
    try:
        return UUID(str(event.data.get("import_id")))
    except ValueError:
        raise InvalidInput("is not the id of an import", field="import_id") from None


def _advance(import_id: UUID, run_id: UUID) -> dict[str, Any]:
    runs.start_run(settings(), "import_file", run_id, str(import_id))
    is_undo = files.import_status(settings(), import_id).state == "undoing"
    work = files.continue_undo if is_undo else files.advance_import
    imported = work(settings(), import_id, seconds=SECONDS_A_STEP)
    relay.run_now()
    counts = {
        "read": imported.rows_read,
        "loaded": imported.loaded,
        "skipped": imported.skipped,
        "rejected": imported.rejected,
        "held": imported.held,
    }
    if imported.is_final:
        ended = runs.RunCounts(run_id, imported.rows_read, imported.loaded, imported.rejected + imported.held)
        ended.details = {"import_id": str(import_id), "target": imported.target, "state": imported.state}
        runs.finish_run(settings(), ended, imported.error if imported.state == "failed" else None)
    return {"import_id": str(import_id), "state": imported.state, "is_final": imported.is_final, **counts}
