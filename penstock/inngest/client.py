"""The Inngest client that all functions share, the settings they read, and which functions this deployment serves.

Built without network and without secrets, since a deployment imports the app before it has any: `INNGEST_DEV` (`1` or
an address) makes it a development client, anything else one for Inngest Cloud or, with `INNGEST_BASE_URL`, for a
self-hosted server. `registered` holds every function of this deployment.
"""

import os
import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import inngest

from penstock.inngest.error_policy import SortErrors, log
from penstock.relay.event_names import EVENT_PREFIX
from penstock.settings import Settings, batch_size, get_settings

APP_ID = "penstock"

registered: list[inngest.Function[Any]] = []


def _client() -> inngest.Inngest:
    for name in ("INNGEST_EVENT_KEY", "INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK"):
        if not os.environ.get(name):
            # set but empty, the SDK would take it for a key: one with which anybody can sign
            os.environ.pop(name, None)
    return inngest.Inngest(
        app_id=APP_ID,
        logger=log,
        middleware=[SortErrors],
        # without a key the SDK refuses to serve even at build time; with a key that nobody knows, it refuses all calls
        signing_key=os.environ.get("INNGEST_SIGNING_KEY") or f"signkey-unset-{secrets.token_hex(32)}",
    )


client = _client()

# For listeners: one run an event cannot keep up with a busy store. The free plan takes batches of 5 at most.
BATCH = inngest.Batch(max_size=batch_size(), timeout=timedelta(seconds=1))


def settings() -> Settings:
    return get_settings()


def correlation_of(ctx: inngest.ContextSync) -> str:
    """The id of the event that asked for the run; for a cron the run's, since all firings of a minute share an id."""
    is_cron = not ctx.event.id or ctx.event.name.startswith("inngest/")
    return ctx.run_id if is_cron else ctx.event.id


def register(functions: Sequence[inngest.Function[Any]]) -> None:
    """Say which functions this deployment serves: what they listen to, the relay sends."""
    registered[:] = functions


def listened_types() -> set[str]:
    """The stored event types that some function listens to by a trigger `event/<EventType>`."""
    return {name.removeprefix(EVENT_PREFIX) for _, name in listening() if name.startswith(EVENT_PREFIX)}


def listening() -> set[tuple[str, str]]:
    """Each function's id with each name of an event that it listens to."""
    pairs = ((function.id, trigger) for function in registered for trigger in function._triggers)
    return {(id, trigger.event) for id, trigger in pairs if isinstance(trigger, inngest.TriggerEvent)}
