"""What every request passes first and every answer last, as pure ASGI.

In: the request's ids, the check of local mode, the limit of the body (declared or counted, before anything parses it)
and of what a path may hold. Out: the ids and the headers that keep a browser strict; an unforeseen error becomes a 500
that names nothing but the correlation id under which it was logged.
"""

import logging
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.errors import InvalidInput, PenstockError
from penstock.http import errors, request_ids, security
from penstock.http.access_log import without_token
from penstock.http.request_ids import RequestIds
from penstock.settings import Settings

log = logging.getLogger("penstock.app")

_HEADERS: Final = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


class Middleware:
    """`streamed` are path prefixes whose routes count their bodies themselves, while they stream them."""

    def __init__(self, app: ASGIApp, settings: Callable[[], Settings], streamed: tuple[str, ...] = ()) -> None:
        self._app = app
        self._settings = settings
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        ids = request_ids.begin(scope, headers.get(b"x-correlation-id"))
        streams = scope["path"].startswith(self._streamed)
        answer = _Answer(send, ids, hangs_up=streams)
        try:
            settings = self._settings()
            security.check_origin(settings, headers)
            _check_path(scope)
            if not streams:
                receive = _limited(receive, headers.get(b"content-length"), settings.max_body_bytes)
            await self._app(scope, receive, answer)
        except PenstockError as error:
            await errors.of_penstock(scope, error)(scope, receive, answer)
        except errors.BodyTooLarge as error:
            response = errors.problem(scope, 413, "body-too-large", error.detail, headers=error.headers)
            await response(scope, receive, answer)
        except Exception:
            log.exception("%s %s failed (%s)", scope["method"], without_token(scope["path"]), ids.correlation_id)
            if answer.started:
                raise
            detail = "an unforeseen error; it was logged under the correlation id"
            await errors.problem(scope, 500, "internal", detail)(scope, receive, answer)


class _Answer:
    """Adds the headers, and knows whether the answer has begun."""

    def __init__(self, send: Send, ids: RequestIds, *, hangs_up: bool) -> None:
        self._send = send
        self._ids = ids
        self._hangs_up = hangs_up
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [
                *message["headers"],
                *_HEADERS,
                (b"x-correlation-id", self._ids.correlation_id.encode()),
                (b"x-request-id", self._ids.request_id.encode()),
            ]
            if self._hangs_up and message["status"] >= 400:  # else the rest of a refused file would still be received
                message["headers"].append((b"connection", b"close"))
        await self._send(message)


def _check_path(scope: Scope) -> None:
    """A path that is not UTF-8 would be read as another one, with its broken bytes replaced."""
    raw = scope.get("raw_path") or b""
    if b"%" in raw:
        try:
            unquote_to_bytes(raw).decode()
        except UnicodeDecodeError:
            raise InvalidInput("not UTF-8", field="path") from None


def _limited(receive: Receive, content_length: bytes | None, limit: int) -> Receive:
    if content_length is not None and content_length.isdigit() and int(content_length[:20]) > limit:
        raise errors.BodyTooLarge(limit)
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise errors.BodyTooLarge(limit)
        return message

    return counting
