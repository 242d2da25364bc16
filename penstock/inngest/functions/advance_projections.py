"""Advance the projections for which events were appended: one run for all of them, and as a rule one call.

`penstock/projections.behind` names them in `projections`; without that, those that are behind are looked for. Each has
some seconds here. What is not done then (a file of a million lines, a new projection) goes on in the projection's own
function, step by step, so that it delays no other. One that fails delays no other either: the run fails when all have
had their turn, and Inngest tries again.
"""

from typing import Any

import inngest

from penstock import projections
from penstock.inngest.client import client, settings
from penstock.inngest.error_policy import in_turn
from penstock.inngest.projection_function import advance_for
from penstock.inngest.relay import relay
from penstock.relay.event_names import PROJECTIONS_BEHIND, projection_behind
from penstock.relay.outbox import OutgoingEvent

SECONDS_EACH = 5.0


@client.create_function(
    fn_id="advance-projections",
    trigger=inngest.TriggerEvent(event=PROJECTIONS_BEHIND),
    concurrency=[inngest.Concurrency(limit=1)],
)
def advance_projections(ctx: inngest.ContextSync) -> dict[str, Any]:
    advanced, failed = in_turn(_behind(ctx.event), lambda name: (name, advance_for(name, SECONDS_EACH)))
    if large := [name for name, done in advanced if not done["caught_up"]]:
        relay.send([OutgoingEvent.of(projection_behind(name), f"{name}-behind-{ctx.run_id}", {}) for name in large])
    if failed:
        raise failed[0]
    return dict(advanced)


def _behind(event: inngest.Event) -> list[str]:
    """Names that are known here: the event may come from a deployment of before or after this one."""
    named = event.data.get("projections")
    if not isinstance(named, list):
        return projections.find_behind(settings())
    return [name for name in projections.projections() if name in named]
