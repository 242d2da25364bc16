"""A look at the database that all callers of a process share: at most one a second, however many ask."""

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from penstock.http.routing import settings_of
from penstock.settings import Settings

MAX_AGE_SECONDS = 1.0

T = TypeVar("T")


class SharedLook(Generic[T]):
    """What `look` found, at most `MAX_AGE_SECONDS` old. Who asks meanwhile waits for the same result."""

    def __init__(self, look: Callable[[Settings], T]) -> None:
        self._look = look
        self._lock = asyncio.Lock()
        self._found: tuple[T, float] | None = None

    async def of(self, settings: Settings) -> T:
        async with self._lock:
            if self._found is None or time.monotonic() - self._found[1] >= MAX_AGE_SECONDS:
                self._found = await run_in_threadpool(self._look, settings), time.monotonic()
            return self._found[0]


async def looked(request: Request, name: str, look: Callable[[Settings], T]) -> T:
    """What the app's look of that name finds; made at first use, since its lock belongs to the loop that runs then."""
    state = request.app.state
    if not hasattr(state, name):
        setattr(state, name, SharedLook(look))
    shared: SharedLook[T] = getattr(state, name)
    return await shared.of(settings_of(request))
