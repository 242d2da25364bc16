"""Server-sent events: `changed` when a subscription or a view has moved, so that a page knows when to read again.

All listeners of a process share one look at the database a second. A stream ends after four minutes, before any host
cuts it, and the browser opens the next one by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from penstock import json_codec
from penstock.errors import PenstockError, Unavailable
from penstock.http.routing import requires, router, settings_of
from penstock.http.shared_look import SharedLook
from penstock.operations.metrics import what_moves
from penstock.postgres import pool
from penstock.settings import Settings

routes = router()

LOOK_SECONDS: Final = 1.0
HEARTBEAT_SECONDS: Final = 15.0
LIFE_SECONDS: Final = 240.0
MAX_LISTENERS: Final = 200
_EXAMPLE: Final = 'event: changed\ndata: {"subscriptions":{"orders":42},"views":{}}\n\n'


class Pulse(SharedLook[dict[str, Any]]):
    """What moves, and how many listen."""

    def __init__(self) -> None:
        super().__init__(_look)
        self.listeners = 0


@routes.get(
    "/v1/live",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}}}},
    openapi_extra=requires("read"),
)
async def listen(request: Request) -> Response:
    """Hear when a figure may have moved: a `changed` event at once, and then each time.

    Its data: `subscriptions` (name to position) and `views` (name to `refreshed_at`). It ends after some minutes.
    """
    pulse = _pulse(request)
    if pulse.listeners >= MAX_LISTENERS:
        raise Unavailable("too many listeners", retry_after=5)
    events = _events(pulse, settings_of(request))
    return StreamingResponse(events, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def _events(pulse: Pulse, settings: Settings) -> AsyncIterator[str]:
    pulse.listeners += 1
    try:
        ends = time.monotonic() + LIFE_SECONDS
        shown: dict[str, Any] | None = None
        spoke_at = time.monotonic()
        yield "retry: 2000\n\n"
        while time.monotonic() < ends:
            seen = await _looked(pulse, settings, shown)
            if seen != shown:
                yield f"event: changed\ndata: {json_codec.dumps(seen)}\n\n"
                shown, spoke_at = seen, time.monotonic()
            elif time.monotonic() - spoke_at >= HEARTBEAT_SECONDS:
                yield ": still here\n\n"
                spoke_at = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        pulse.listeners -= 1


async def _looked(pulse: Pulse, settings: Settings, shown: dict[str, Any] | None) -> dict[str, Any] | None:
    """While the database is away nothing is known to have moved."""
    try:
        return await pulse.of(settings)
    except PenstockError:
        return shown


def _pulse(request: Request) -> Pulse:
    """Made at first use: its lock belongs to the event loop that runs then."""
    state = request.app.state
    if not hasattr(state, "pulse"):
        state.pulse = Pulse()
    pulse: Pulse = state.pulse
    return pulse


def _look(settings: Settings) -> dict[str, Any]:
    with pool.connection(settings) as connection:
        return what_moves(connection)
