"""What the Inngest functions of all projections have in common; each has a file of its own that calls this.

They run where a projection has more to do than `advance-projections` gets done in its few seconds.
"""

from datetime import UTC, datetime
from typing import Any

import inngest

from penstock import projections
from penstock.inngest.client import client, settings
from penstock.pipelines import runs
from penstock.relay.event_names import projection_behind

SECONDS_BEFORE_STEPS = 5.0
SECONDS_A_STEP = 25.0
MAX_STEPS = 500


def projection_function(name: str) -> inngest.Function[Any]:
    """The Inngest function `project-<name>`: it goes on, a step at a time, until the projection has caught up."""

    def advance(ctx: inngest.ContextSync) -> dict[str, Any]:
        # Often all is done here, in one call. In a replay it only goes on where the last step ended.
        done = advance_for(name, SECONDS_BEFORE_STEPS)
        events, number = done["events"], 0
        while not done["caught_up"] and number < MAX_STEPS:
            number += 1
            done = ctx.step.run(f"advance-{number}", advance_for, name, SECONDS_A_STEP)
            events += done["events"]
        return {**done, "events": events}

    return client.create_function(
        fn_id=f"project-{name.replace('_', '-')}",
        trigger=inngest.TriggerEvent(event=projection_behind(name)),
        concurrency=[inngest.Concurrency(limit=1)],
    )(advance)


def advance_for(name: str, seconds: float) -> dict[str, Any]:
    """Advance a projection for about `seconds`, and note that among the runs."""
    began = datetime.now(UTC)
    done = projections.advance(settings(), name, seconds=seconds)
    runs.record_wake(settings(), f"project_{name}", began, done.events, {"position": done.position})
    return {"position": done.position, "events": done.events, "caught_up": done.caught_up}
