"""The Inngest client that all functions share, the errors they may raise, and the relay's two ways to be woken.

Built without network and without secrets, since a deployment imports the app before it has any: `INNGEST_DEV` (`1` or
an address) makes it a development client, anything else one for Inngest Cloud or, with `INNGEST_BASE_URL`, for a
self-hosted server. `registered` holds every function of this deployment.
"""

import logging
import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urljoin

import httpx
import inngest

from penstock import json_codec
from penstock.errors import InvalidInput, PenstockError, SettingsError, Unavailable
from penstock.inngest.publishing import SEND_SECONDS, DevServer, Told
from penstock.pipelines import runs
from penstock.redaction import error_text, redact
from penstock.relay.debouncer import Debouncer
from penstock.relay.event_names import APPENDED, EVENT_PREFIX
from penstock.relay.outbox import OutgoingEvent, Relayed, go_back, relay
from penstock.settings import Settings, batch_size, get_settings

APP_ID = "penstock"

log = logging.getLogger("penstock.functions")
registered: list[inngest.Function[Any]] = []


class FunctionFailed(Exception):
    """An error that nobody foresaw, its message free of secrets. Inngest tries again."""


class SortErrors(inngest.MiddlewareSync):
    """Tell Inngest what to do about an error, and give it nothing that JSON or discretion forbids.

    A passing error is tried again when its `retry_after` is over, any other of Penstock's own never (the same input
    would fail again), an unforeseen one, or a wrong setting, as Inngest sees fit. Raising here makes it the run's
    error, also from a step.
    """

    def transform_output(self, result: inngest.TransformOutputResult) -> None:
        if result.error is None:
            if result.has_output():
                result.output = _plain(result.output)
            return
        log.warning("%s", error_text(result.error))
        if not isinstance(result.error, inngest.NonRetriableError | inngest.RetryAfterError | inngest.StepError):
            raise sorted_error(result.error) from None


def sorted_error(error: Exception) -> Exception:
    """Inngest's error for one of ours; the text names the kind, so that it stays readable where only text is kept."""
    if isinstance(error, Unavailable):
        return inngest.RetryAfterError(error_text(error), timedelta(seconds=max(1.0, error.retry_after)))
    if isinstance(error, PenstockError) and not isinstance(error, SettingsError):
        return inngest.NonRetriableError(error_text(error))
    return FunctionFailed(error_text(error)).with_traceback(error.__traceback__)


def _plain(output: object) -> object:
    try:
        return json_codec.plain(output)
    except (TypeError, ValueError) as error:
        # never again: what the function or step did would be done once more by each attempt
        raise inngest.NonRetriableError(f"it returned what JSON cannot hold: {error_text(error)}") from None


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
    return {name.removeprefix(EVENT_PREFIX) for _, name in _listening() if name.startswith(EVENT_PREFIX)}


def _listening() -> set[tuple[str, str]]:
    """Each function's id with each name of an event that it listens to."""
    pairs = ((function.id, trigger) for function in registered for trigger in function._triggers)
    return {(id, trigger.event) for id, trigger in pairs if isinstance(trigger, inngest.TriggerEvent)}


def send(events: Sequence[OutgoingEvent]) -> None:
    """Send to Inngest's event API, all or nothing known: an error may come after the events have arrived.

    Raises `InvalidInput` if Inngest refuses the events themselves, `Unavailable` for all that may pass. The SDK's own
    sender does not tell the two apart.
    """
    if client.is_production and not client.event_key:
        raise Unavailable("INNGEST_EVENT_KEY is not set: no event can be sent", retry_after=60)
    url = urljoin(client.event_api_origin, f"/e/{client.event_key or 'NO_EVENT_KEY_SET'}")
    body = [{"name": event.name, "id": event.id, "ts": event.ts, "data": event.data} for event in events]
    try:
        response = _post(url, body)
    except httpx.HTTPError as error:
        raise Unavailable(f"Inngest cannot be reached: {error_text(error)}", retry_after=5) from None
    if response.status_code in _REFUSED:
        raise InvalidInput(f"Inngest refuses the event: {redact(response.text)[:500]}", field="event")
    if not response.is_success:
        raise Unavailable(f"Inngest answers {response.status_code}: {redact(response.text)[:500]}", retry_after=5)


_REFUSED = (400, 413)


def _post(url: str, body: object) -> httpx.Response:
    if not client.is_production:
        return _dev_server().post(url, body)
    return _http().post(url, json=body, headers={"x-inngest-env": client.env} if client.env else {})


@cache
def _http() -> httpx.Client:
    return httpx.Client(timeout=SEND_SECONDS)


@cache
def _dev_server() -> DevServer:
    return DevServer(_listening, told)


told = Told()


def relay_once(*, seconds: float = 20.0) -> Relayed:
    """Tell Inngest of all events that it does not know of yet, or that it may have forgotten, for about `seconds`."""
    began = datetime.now(UTC)
    if (position := told.again) is not None:
        go_back(settings(), position)
        told.went_back(position)
    relayed = relay(settings(), _tell, listened_types(), seconds=seconds)
    rows = max(relayed.events, relayed.sent)  # the past of a type that is new to the listeners counts as well
    runs.record_wake(settings(), "relay_events", began, rows, {"position": relayed.position})
    return relayed


def _tell(events: Sequence[OutgoingEvent]) -> None:
    send(events)
    firsts = [event.data["from"] if event.name == APPENDED else event.data["position"] for event in events]
    told.note(min(firsts) - 1)


def wake_readers(position: int, reason: str) -> None:
    """Have all projections look at the store, though nothing new was appended; twice for one `reason` counts once."""
    nothing = {"from": position + 1, "to": position, "count": 0, "event_types": []}
    send([OutgoingEvent(APPENDED, f"requested-{reason}", nothing, int(datetime.now(UTC).timestamp() * 1000))])


def _turn() -> None:
    if not relay_once().caught_up:
        _waker.notify()


_waker = Debouncer(_turn, lambda: settings().relay_interval_ms / 1000)


def notify_relay() -> None:
    """Say that events were appended: a thread relays soon, at most every `relay_interval_ms`. Never raises or waits."""
    _waker.notify()


def relay_now() -> None:
    """The same without a thread, for hosts that freeze the process after the answer: call it as a background task."""
    _waker.run_now()
