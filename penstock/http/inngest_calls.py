"""Inngest's calls: size, signature and age are checked first, and the SDK answers them on an event loop of their own.

The SDK verifies, parses and answers on the loop that calls it, and a body may have megabytes: on a loop of its own that
keeps nobody else waiting. A development server signs nothing, so nothing is verified there.
"""

import asyncio
import threading
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import inngest
import inngest.fast_api
from anyio import to_thread
from fastapi import FastAPI, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.errors import Conflict, Unauthenticated
from penstock.http import inngest_signature
from penstock.http.routing import limiter, settings_of
from penstock.operations.signed_calls import is_first_call

MAX_VERIFYING: Final = 2

T = TypeVar("T")


class InngestCalls:
    """The SDK's routes for `functions`, as one ASGI app behind the checks. `close` ends its loop."""

    def __init__(self, client: inngest.Inngest, functions: list[inngest.Function[Any]]) -> None:
        self._client = client
        self._sdk = FastAPI(openapi_url=None)
        inngest.fast_api.serve(self._sdk, client, functions)
        self._loop = _LoopInThread()

    @property
    def routes(self) -> Sequence[Route]:
        """One for each path that the SDK serves: `/api/inngest`, unless `INNGEST_SERVE_PATH` says otherwise."""
        paths = {route.path for route in self._sdk.routes if isinstance(route, Route)}
        return [Route(path, self, methods=["GET", "POST", "PUT"]) for path in sorted(paths)]

    def close(self) -> None:
        self._loop.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await self._verified(request) if self._client.is_production else await request.body()
        await self._loop.serve(self._sdk, scope, body, receive, send)

    async def _verified(self, request: Request) -> bytes:
        """The body of a call that Inngest made. Raises `Unauthenticated`, or `Conflict` for a call that is repeated."""
        given = request.headers.getlist("x-inngest-signature")
        if not given and request.method == "PUT":
            return b""  # asks the app to register itself at Inngest, with its own key: its body is ignored
        if len(given) > 1:
            raise Unauthenticated("the header X-Inngest-Signature appears twice")
        signature = inngest_signature.read(given[0] if given else None, datetime.now(UTC))
        body = await request.body()
        keys = [key for key in (self._client.signing_key, self._client.signing_key_fallback) if key]
        check = partial(inngest_signature.fits, signature, body, keys)
        if not await to_thread.run_sync(check, limiter=limiter(request, "verifying", MAX_VERIFYING)):
            raise Unauthenticated(
                "the signature does not fit: INNGEST_SIGNING_KEY is not the key of the environment that calls (copy it"
                " from Inngest's dashboard), or the body was changed on its way"
            )
        if request.method == "POST":
            await _refuse_repeated(request, signature)
        return body


async def _refuse_repeated(request: Request, signature: inngest_signature.Signature) -> None:
    """Inngest signs each attempt again, so a signature that comes again is a recording. Function and step belong to the
    call, since Inngest may send one body for several steps of a run within a second.
    """
    names = [request.query_params.get(name, "")[:200] for name in ("fnId", "stepId")]
    call = " ".join((signature.time, signature.digest, *names)).replace("\x00", "")
    if not await to_thread.run_sync(is_first_call, settings_of(request), call):
        raise Conflict("this call has been made before")


class _LoopInThread:
    """An event loop in a daemon thread, begun at the first call."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, app: ASGIApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Have `app` answer there; what it receives after `body`, and sends, goes through the loop that calls this."""
        here = asyncio.get_running_loop()
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_here() -> Message:
            return first.pop() if first else await _on(here, receive())

        async def send_here(message: Message) -> None:
            await _on(here, send(message))

        await _on(self._running(), app({**scope}, receive_here, send_here))

    def close(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop = None

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(self._loop,), name="inngest-calls", daemon=True).start()
        return self._loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _on(loop: asyncio.AbstractEventLoop, work: Awaitable[T]) -> T:
    async def done() -> T:
        return await work

    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(done(), loop))
