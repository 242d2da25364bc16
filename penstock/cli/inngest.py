"""Sending to Inngest from the command line, with the sender of the app."""

import os
from collections.abc import Sequence

from penstock.cli.session import environment, say
from penstock.errors import PenstockError, SettingsError
from penstock.local.loopback_no_proxy import loopback_no_proxy
from penstock.project import project_functions
from penstock.relay.outbox import OutgoingEvent, Relayed
from penstock.relay.relay import Relay
from penstock.settings import Settings


def relay_now(settings: Settings, *, seconds: float = 20.0) -> Relayed:
    """Relay with the app's own sender; raises `Unavailable` if Inngest cannot be reached."""
    return _relay(settings).once(seconds=seconds)


def try_relay(settings: Settings) -> None:
    """Relay at once where Inngest can be reached; elsewhere the app's next sweep does."""
    try:
        relay_now(settings)
    except PenstockError as error:
        say(f"not yet published to Inngest ({error}); the next sweep will")


def send(settings: Settings, events: Sequence[OutgoingEvent]) -> None:
    _relay(settings).send(events)


def _relay(settings: Settings) -> Relay:
    """The relay of the app; its client reads the environment when it is imported: hence here and not above."""
    env = environment()
    if not settings.inngest_dev and not env.get("INNGEST_EVENT_KEY"):
        raise SettingsError("neither INNGEST_DEV nor INNGEST_EVENT_KEY is set, and no `make up` is running here")
    given = {"DATABASE_URL": settings.database_url, "PENSTOCK_ENV": "local"}
    direct = loopback_no_proxy(env) if settings.inngest_dev else {}
    os.environ.update({**env, **given, **direct, "INNGEST_DEV": settings.inngest_dev or ""})
    from penstock.inngest.client import register
    from penstock.inngest.relay import relay

    register(project_functions())
    return relay
