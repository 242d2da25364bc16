"""Say that something was stored, so that what follows from it starts at once instead of at the next sweep."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.background import BackgroundTask
from starlette.responses import Response

from penstock.errors import PenstockError
from penstock.relay.outbox import OutgoingEvent, Send

log = logging.getLogger("penstock.app")

R = TypeVar("R", bound=Response)


@dataclass(frozen=True)
class Notifiers:
    """The ways out to Inngest. `soon` relays and returns at once, `now` does the same work in the calling thread.

    `send` sends what is not relayed, and raises `Unavailable` or `InvalidInput` if it did not arrive.
    """

    soon: Callable[[], None]
    now: Callable[[], None]
    send: Send


def freezes() -> bool:
    """Whether the host freezes the process between requests, as Vercel does."""
    return "VERCEL" in os.environ


def sender(request: Request) -> Send:
    """The way out for events that are sent while the caller waits."""
    notifiers: Notifiers = request.app.state.notifiers
    return notifiers.send


def relay_after(request: Request, response: R) -> R:
    """The response, with the relay on its way. Vercel freezes a process after its answer, but waits for its tasks."""
    notifiers: Notifiers = request.app.state.notifiers
    if freezes():
        response.background = BackgroundTask(notifiers.now)
    else:
        notifiers.soon()
    return response


def send_after(request: Request, response: R, name: str, id: str, data: Mapping[str, str]) -> R:
    """The response, and after it an event. If that is lost, the sweep finds what it was about."""
    notifiers: Notifiers = request.app.state.notifiers

    def send() -> None:
        try:
            notifiers.send([OutgoingEvent.of(name, id, data)])
        except PenstockError as error:
            log.warning("%s was not sent, the sweep finds what it was about: %s", name, error)

    response.background = BackgroundTask(send)
    return response
