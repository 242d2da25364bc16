"""What the Inngest functions of all projections have in common; each has a file of its own that calls this."""

from datetime import UTC, datetime
from typing import Any

import inngest

from penstock import projections
from penstock.inngest.client import client, settings
from penstock.pipelines import runs
from penstock.relay.event_names import APPENDED

SECONDS_BEFORE_STEPS = 5.0
SECONDS_A_STEP = 25.0
MAX_STEPS = 500


def projection_function(name: str) -> inngest.Function[Any]:
    """The Inngest function `project-<name>`: run when events were appended, and by cron in case that event was lost."""

    def advance(ctx: inngest.ContextSync) -> dict[str, Any]:
        # Nearly always all is done here, in one call. In a replay it only goes on where the last step ended.
        done = _advance(name, SECONDS_BEFORE_STEPS)
        events, number = done["events"], 0
        while not done["caught_up"] and number < MAX_STEPS:
            number += 1
            done = ctx.step.run(f"advance-{number}", _advance, name, SECONDS_A_STEP)
            events += done["events"]
        return {**done, "events": events}

    return client.create_function(
        fn_id=f"project-{name.replace('_', '-')}",
        trigger=[inngest.TriggerEvent(event=APPENDED), inngest.TriggerCron(cron="*/5 * * * *")],
        concurrency=[inngest.Concurrency(limit=1)],
    )(advance)


def _advance(name: str, seconds: float) -> dict[str, Any]:
    began = datetime.now(UTC)
    done = projections.advance(settings(), name, seconds=seconds)
    runs.record_wake(settings(), f"project_{name}", began, done.events, {"position": done.position})
    return {"position": done.position, "events": done.events, "caught_up": done.caught_up}
