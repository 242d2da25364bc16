"""The one place that reaches up to `functions`: by name and when a command needs it, as uvicorn reaches the app.

The core does not know Inngest; the command line is where the floors are put together.
"""

import importlib
import os
from collections.abc import Sequence
from typing import Any

from penstock.cli.session import environment, say
from penstock.errors import PenstockError, SettingsError
from penstock.local.loopback_no_proxy import past_proxies
from penstock.relay.outbox import OutgoingEvent, Relayed
from penstock.settings import Settings


def relay_now(settings: Settings, *, seconds: float = 20.0) -> Relayed:
    """Relay with the app's own sender; raises `Unavailable` if Inngest cannot be reached."""
    relayed: Relayed = _client(settings).relay_once(seconds=seconds)
    return relayed


def try_relay(settings: Settings) -> None:
    """Relay at once where Inngest can be reached; elsewhere the app's next minute does."""
    try:
        relay_now(settings)
    except PenstockError as error:
        say(f"not yet told to Inngest ({error}); its cron will")


def send(settings: Settings, events: Sequence[OutgoingEvent]) -> None:
    _client(settings).send(events)


def _client(settings: Settings) -> Any:
    """`penstock.inngest.client`, which reads the environment when it is imported."""
    env = environment()
    if not settings.inngest_dev and not env.get("INNGEST_EVENT_KEY"):
        raise SettingsError("neither INNGEST_DEV nor INNGEST_EVENT_KEY is set, and no `make up` is running here")
    given = {"DATABASE_URL": settings.database_url, "PENSTOCK_ENV": "local"}
    direct = past_proxies(env) if settings.inngest_dev else {}
    os.environ.update({**env, **given, **direct, "INNGEST_DEV": settings.inngest_dev or ""})
    return importlib.import_module("penstock.inngest.client")
