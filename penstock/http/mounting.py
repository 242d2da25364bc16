"""Penstock in an app that exists already.

The host keeps all that it has: its routes come first, and what neither it nor Penstock knows is answered by the host.
Penstock's paths (`/v1/…`, `/api/inngest`, `/health`, `/ready`, `/metrics`, the dashboard at `/` if the host has no page
there) keep their own checks, errors and limits, behind the host's middleware.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import inngest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from penstock.domain import Domain
from penstock.http.app import create_app
from penstock.http.background import Notifiers
from penstock.settings import Settings


def mount(
    host: FastAPI,
    *domains: Domain,
    functions: Sequence[inngest.Function[Any]] = (),
    settings: Settings | None = None,
    notifiers: Notifiers | None = None,
) -> FastAPI:
    """Add the app that `create_app` makes of this to `host`, after its own routes; returns that app."""
    app = create_app(*domains, functions=functions, settings=settings, notifiers=notifiers)
    host.router.routes.append(_Paths(app))
    _join_lifespans(host, app)
    return app


class _Paths(BaseRoute):
    """The paths of `app` and no others. A mount at `/` would take the host's redirects and its 404 from it."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = [route.matches(scope)[0] for route in self.app.routes]
        return max(found, key=lambda match: match.value), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({name: value for name, value in scope.items() if name != "router"}, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> Any:
        raise NoMatchFound(name, path_params)


def _join_lifespans(host: FastAPI, app: FastAPI) -> None:
    """The settings are read when the host starts, and the connections closed when it ends."""
    own = host.router.lifespan_context

    @asynccontextmanager
    async def lifespan(starting: FastAPI) -> AsyncIterator[Any]:
        async with app.router.lifespan_context(app), own(starting) as state:
            yield state

    host.router.lifespan_context = lifespan
