"""Keep every Inngest run that failed for good as a dead letter, with the events that run it again.

A function of its own instead of `on_failure`, which gets one attempt and no more: when the database was the reason
for the failure, this is retried until it is back.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import inngest

from penstock.inngest.client import APP_ID, client, registered, settings
from penstock.pipelines import dead_letters, runs
from penstock.postgres import pool
from penstock.redaction import redact
from penstock.relay.event_names import FUNCTION_FAILED

MOST_WRAPPINGS: Final = 5


@client.create_function(
    fn_id="record-failure",
    trigger=inngest.TriggerEvent(event=FUNCTION_FAILED),
    concurrency=[inngest.Concurrency(limit=1)],
    retries=20,
)
def record_failure(ctx: inngest.ContextSync) -> dict[str, Any]:
    function_id, run_id = str(ctx.event.data.get("function_id")), str(ctx.event.data.get("run_id"))
    source = function_id.removeprefix(f"{APP_ID}-").replace("-", "_")
    if source == "record_failure" or not function_id.startswith(f"{APP_ID}-"):
        return {"recorded": False}
    reason = _reason(ctx.event.data.get("error"))
    runs.finish_run(settings(), runs.RunCounts(runs.run_id_of(run_id)), reason)
    with pool.transaction(settings()) as connection:
        letter = dead_letters.park(connection, "run", source, run_id, reason, _payload(function_id, ctx.event))
    return {"recorded": True, "dead_letter": str(letter), "source": source}


def _reason(error: object) -> str:
    if not isinstance(error, Mapping):
        return "it failed without saying why"
    name, message = _unwrapped(error)
    return redact(message if ":" in message else f"{name}: {message}")


def _unwrapped(error: Mapping[str, Any]) -> tuple[str, str]:
    """Name and message. Where Inngest did not reach the app, the error is within the message, once more as JSON."""
    name, message, inner = "Error", "", error
    for _ in range(MOST_WRAPPINGS):
        name = str(inner.get("name") or name)
        found = inner.get("message") or inner.get("error") or message
        message = found if isinstance(found, str) else json.dumps(found)
        if not (inner := _object(message)):
            break
    return name, message or "it failed without saying why"


def _object(text: str) -> Mapping[str, Any]:
    """The JSON object that the text is; empty if it is none."""
    if not text.lstrip().startswith("{"):
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _payload(function_id: str, failed: inngest.Event) -> dict[str, Any]:
    """All events of the run: a batch has several, `event` alone would be the first of them."""
    found = failed.data.get("events") or [failed.data.get("event")]
    events = [dict(event) for event in found if isinstance(event, Mapping)] if isinstance(found, list) else []
    return {
        "events": [
            {"name": _event_name(function_id, event), "data": event.get("data") or {}} for event in events or [{}]
        ]
    }


def _event_name(function_id: str, event: Mapping[str, Any]) -> str | None:
    """The event that starts such a run: a cron's own cannot be sent, the function's other trigger takes its place."""
    name = event.get("name")
    if isinstance(name, str) and not name.startswith("inngest/"):
        return name
    triggers = (trigger for function in registered if function.id == function_id for trigger in function._triggers)
    return next((trigger.event for trigger in triggers if isinstance(trigger, inngest.TriggerEvent)), None)
