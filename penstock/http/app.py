"""The app: HTTP in, Inngest's calls at `/api/inngest`, the dashboard at `/`.

Importing it reads no settings, needs no secrets and opens no connection: a deployment imports it at build time. The
settings are read when the server starts, or at the first request where it announces no start, and refused if wrong.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import inngest
from fastapi import FastAPI

from penstock.domain import Domain, install
from penstock.http import access_log, errors, listening, openapi
from penstock.http.background import Notifiers
from penstock.http.inngest_calls import InngestCalls
from penstock.http.middleware import Middleware
from penstock.http.resources import (
    aggregates,
    api_docs,
    dashboard,
    dead_letters,
    events,
    import_mappings,
    imports,
    live,
    operations,
    streams,
    uploads,
    views,
    webhooks,
)
from penstock.inngest.client import client, register, registered
from penstock.inngest.relay import relay
from penstock.postgres import append_pool, pool
from penstock.settings import Settings, get_settings

# The hottest first: routes are tried in this order, after those of streams and of the domains.
_RESOURCES: Final = tuple(
    resource.routes
    for resource in (
        webhooks,
        events,
        aggregates,
        views,
        import_mappings,
        imports,
        uploads,
        operations,
        dead_letters,
        live,
        dashboard,
        api_docs,
    )
)


def create_app(
    *domains: Domain,
    functions: Sequence[inngest.Function[Any]] = (),
    settings: Settings | None = None,
    notifiers: Notifiers | None = None,
) -> FastAPI:
    """Build the app of these domains, which serves these Inngest functions.

    Without `settings` it reads the environment when it starts.
    """
    read_settings: Callable[[], Settings] = get_settings if settings is None else lambda: settings
    app = FastAPI(lifespan=_lifespan, redirect_slashes=False, docs_url=None, redoc_url=None)
    app.state.settings = read_settings
    app.state.notifiers = notifiers or Notifiers(relay.notify, relay.run_now, relay.send)
    app.add_middleware(Middleware, settings=read_settings, streamed=(uploads.PREFIX,))
    errors.install(app)
    access_log.hide_tokens()
    install(*domains)
    for routes in (streams.routes, *(routes for domain in domains for routes in _routers(domain)), *_RESOURCES):
        # as they are, not as a router inside a router: that would cost every request a second round of matching
        app.router.routes.extend(routes.routes)
    register([*functions, *(each for domain in domains for each in domain.functions)])
    app.state.inngest_calls = InngestCalls(client, registered)
    app.router.routes.extend(app.state.inngest_calls.routes)
    openapi.install(app)
    return app


def _routers(domain: Domain) -> Sequence[Any]:
    return domain.routes() if callable(domain.routes) else domain.routes


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with listening.on_this_machine(app.state.settings()):
        yield
    app.state.inngest_calls.close()
    append_pool.close_append_pools()
    pool.close_pools()
