"""How a route of ours reads and answers: key first, then strict JSON, known parameters only, and one encoder.

A resource's router is `router()`; each of its routes says by `requires(scope)` what a key must allow.
"""

from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import fields
from functools import cache, partial
from typing import Any, Final, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.http.request_ids import RequestIds, request_ids_of
from penstock.http.security import Caller, authorise, authorise_user, users_token
from penstock.settings import Scope, Settings
from penstock.supabase_project.user_tokens import UserTokens

SCOPE: Final = "x-scope"


def spliced(name: str, array: bytes, rest: Mapping[str, Any]) -> Response:
    """An answer whose one member is JSON already, and maybe large."""
    body = json_codec.dumps(rest).encode()
    return Response(b'{"%s":%b,%b' % (name.encode(), array, body[1:]), media_type=Json.media_type)


class Json(Response):
    """Money as strings, times as RFC 3339, by the project's own encoder."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json_codec.dumps(content).encode()


LARGE: Final = 32 * 1024
"""Bytes of a body from which on the event loop does not work on it: a thread does, and the other requests go on."""
MAX_PARSING: Final = 2
MAX_USERS: Final = 8


class StrictRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_strict"):
            body = await self.body()
            parse = partial(json_codec.loads, body, field="body")
            self._strict = await in_thread(self, parse) if len(body) > LARGE else parse()
        return self._strict

    async def is_large(self) -> bool:
        return len(await self.body()) > LARGE


FastPath = Callable[[StrictRequest], Coroutine[Any, Any, Response | None]]
"""A hot route's own way from a good request to its answer; None sends the request the usual way, errors and all."""

R = TypeVar("R")
E = TypeVar("E", bound=Callable[..., Any])


def fast_path(way: FastPath) -> Callable[[E], E]:
    """Decorator, below the route's: give an endpoint its fast path."""

    def marked(endpoint: E) -> E:
        endpoint.fast_path = way  # type: ignore[attr-defined]
        return endpoint

    return marked


class StrictRoute(APIRoute):
    """Checks the key before the body is read, and reads the body strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        scope: Scope | None = (self.openapi_extra or {})[SCOPE]
        known = frozenset(name for each in self.dependant.query_params for name in _parameters(each))
        takes_json = self.body_field is not None
        way: FastPath | None = getattr(self.endpoint, "fast_path", None)

        async def handle(request: Request) -> Response:
            if scope is not None:
                request.scope["penstock.caller"] = await _authorised(request, scope)
            if request.scope["query_string"]:
                _check_parameters(request, known)
            if takes_json:
                _check_media_type(request)
            strict = StrictRequest(request.scope, request.receive)
            if way and (response := await way(strict)):
                return response
            return await answer(strict)

        return handle


async def _authorised(request: Request, scope: Scope) -> Caller:
    settings, authorization = settings_of(request), request.headers.get("authorization")
    if token := users_token(settings, authorization):
        # the project's keys may have to be fetched first; who waits for them queues among themselves
        work = partial(authorise_user, users_of(request), token, scope)
        return await to_thread.run_sync(work, limiter=limiter(request, "users", MAX_USERS))
    return authorise(settings, authorization, scope)


def users_of(request: Request) -> UserTokens:
    """The app's verifier of users' tokens, made at first use."""
    state = request.app.state
    if not hasattr(state, "user_tokens"):
        state.user_tokens = UserTokens(settings_of(request))
    found: UserTokens = state.user_tokens
    return found


def router() -> APIRouter:
    """Each route's operation id is its function's name: stable, and what a generated client calls it by."""
    return APIRouter(route_class=StrictRoute, generate_unique_id_function=lambda route: route.name)


def requires(scope: Scope | None) -> dict[str, Any]:
    """`openapi_extra` of a route: the scope that a key must have, or None where no key is asked for."""
    return {SCOPE: scope, **({"security": [{"key": []}]} if scope else {})}


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings()
    return settings


def caller_of(request: Request) -> Caller:
    caller: Caller = request.scope["penstock.caller"]
    return caller


def ids_of(request: Request) -> RequestIds:
    return request_ids_of(request.scope)


def plain(value: Any) -> dict[str, Any]:
    """A flat dataclass as a dict, without copying what is in it."""
    return {name: getattr(value, name) for name in _names(value.__class__)}


def limiter(request: Request, name: str, number: int) -> CapacityLimiter:
    """The app's limiter of that name, made at first use: it belongs to the event loop that runs then."""
    state = request.app.state
    if not hasattr(state, name):
        setattr(state, name, CapacityLimiter(number))
    found: CapacityLimiter = getattr(state, name)
    return found


async def in_thread(request: Request, work: Callable[[], R]) -> R:
    """Work on a large body off the event loop, few at a time: they would only take Python's lock from each other."""
    return await to_thread.run_sync(work, limiter=limiter(request, "parsing", MAX_PARSING))


@cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _parameters(field: Any) -> Iterable[str]:
    """The names that a parameter takes from the address: its own, or those of its model's fields."""
    kind = field.field_info.annotation
    return kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else (field.alias,)


def _check_parameters(request: Request, known: frozenset[str]) -> None:
    given = request.query_params.multi_items()
    for name, value in given:
        if name not in known:
            raise InvalidInput("no such parameter", field=name[:80])
        json_codec.check_text(value, field=name)


def _check_media_type(request: Request) -> None:
    """JSON must say that it is: what a form of another site can send is then never taken for it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return
    if kind or request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        raise HTTPException(415, f"send Content-Type: application/json, not {kind[:80] or 'none'}")
