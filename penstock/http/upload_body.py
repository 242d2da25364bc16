"""A request's body as a file that a thread reads while it arrives: counted, bounded, about a block of it in memory."""

from collections.abc import AsyncIterator
from typing import Final

from anyio import fail_after, from_thread
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from penstock.errors import InvalidInput
from penstock.http.errors import BodyTooLarge

SILENCE: Final = 60.0
"""Seconds without a byte after which a client is taken for gone: it holds a thread and a place in the queue."""


class UploadBody:
    """Read in order, once, by `read`. What ends it early is raised there: too large, too slow, or gone."""

    def __init__(self, parts: AsyncIterator[bytes], limit: int) -> None:
        self._parts = parts
        self._limit = limit
        self._received = 0
        self._waiting = bytearray()

    async def begin(self) -> None:
        """Wait for the first bytes. Raises `InvalidInput` if there are none."""
        if not await self._receive():
            raise InvalidInput("empty", field="file")

    def read(self, size: int) -> bytes:
        """Called in a thread that the event loop has started; fewer bytes than asked for only at the end."""
        if len(self._waiting) < size:
            from_thread.run(self._fill, size)
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        return data

    async def _fill(self, size: int) -> None:
        while len(self._waiting) < size and await self._receive():
            pass

    async def _receive(self) -> bool:
        """Take what comes next; False at the end of the body."""
        try:
            with fail_after(SILENCE):
                part = await anext(self._parts, b"")
        except TimeoutError:
            raise HTTPException(408, f"nothing has come for {SILENCE:.0f} seconds") from None
        except ClientDisconnect:
            raise HTTPException(400, "the connection broke off before the whole file was here") from None
        self._received += len(part)
        if self._received > self._limit:
            raise BodyTooLarge(self._limit)
        self._waiting += part
        return bool(part)
