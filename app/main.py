"""The app: HTTP in, Inngest's calls at `/api/inngest`, the dashboard at `/`.

Importing it reads no settings, needs no secrets and opens no connection: a deployment imports it at build time. The
settings are read when the server starts, or at the first request where no start is announced, and refused if wrong.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from fastapi import FastAPI

import functions
from app import (
    access_log,
    aggregates,
    dashboard_page,
    errors,
    events,
    imports,
    inventory,
    listening,
    live,
    openapi,
    operations,
    orders,
    streams,
    uploads,
    views,
    webhooks,
)
from app.envelope import Envelope
from app.inngest_calls import InngestCalls
from app.waking import Wakes
from functions import client as inngest_client
from penstock import database, lanes
from penstock.event_store.relay import OutgoingEvent
from penstock.settings import Settings, get_settings

# The hottest first: routes are tried in this order.
_RESOURCES: Final = (
    streams,
    orders,
    inventory,
    webhooks,
    events,
    aggregates,
    views,
    imports,
    uploads,
    operations,
    live,
    dashboard_page,
)


def create_app(settings: Settings | None = None, wakes: Wakes | None = None) -> FastAPI:
    """Build the app. Without `settings` it reads the environment when it starts."""
    read_settings: Callable[[], Settings] = get_settings if settings is None else lambda: settings
    app = FastAPI(lifespan=_lifespan, redirect_slashes=False, redoc_url=None)
    app.state.settings = read_settings
    app.state.wakes = wakes or Wakes(inngest_client.wake_relay, inngest_client.relay_now, _send)
    app.add_middleware(Envelope, settings=read_settings, streamed=(uploads.PREFIX,))
    errors.install(app)
    access_log.hide_tokens()
    for resource in _RESOURCES:
        # as they are, not as a router inside a router: that would cost every request a second round of matching
        app.router.routes.extend(resource.routes.routes)
    app.state.inngest_calls = InngestCalls(inngest_client.client, functions.ALL)
    app.router.routes.extend(app.state.inngest_calls.routes)
    openapi.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with listening.on_this_machine(app.state.settings()):
        yield
    app.state.inngest_calls.close()
    lanes.close_lanes()
    database.close_pools()


def _send(name: str, id: str, data: Mapping[str, str]) -> None:
    inngest_client.send([OutgoingEvent(name, id, dict(data), int(datetime.now(UTC).timestamp() * 1000))])


app = create_app()
