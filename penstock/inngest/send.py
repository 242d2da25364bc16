"""Send events to Inngest's event API: over the network to its Cloud or a self-hosted server, with `publishing` to a
development server.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final
from urllib.parse import urljoin

import httpx

from penstock.errors import InvalidInput, Unavailable
from penstock.inngest.client import client, listening
from penstock.inngest.publishing import SEND_SECONDS, DevServer
from penstock.redaction import error_text, redact
from penstock.relay.outbox import OutgoingEvent
from penstock.relay.recently_published import RecentlyPublished

_REFUSED: Final = (400, 413)
_KEY_REFUSED: Final = (401, 403)

published = RecentlyPublished()


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
    if response.status_code in _KEY_REFUSED:
        raise Unavailable(
            f"Inngest refuses INNGEST_EVENT_KEY ({response.status_code}): copy the event key of this environment from"
            " Inngest's dashboard",
            retry_after=60,
        )
    if not response.is_success:
        raise Unavailable(f"Inngest answers {response.status_code}: {redact(response.text)[:500]}", retry_after=5)


def _post(url: str, body: object) -> httpx.Response:
    if not client.is_production:
        return _dev_server().post(url, body)
    return _http().post(url, json=body, headers={"x-inngest-env": client.env} if client.env else {})


@cache
def _http() -> httpx.Client:
    return httpx.Client(timeout=SEND_SECONDS)


@cache
def _dev_server() -> DevServer:
    return DevServer(listening, published)
