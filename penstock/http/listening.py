"""Local mode has no keys, so its server must not listen to other machines: if it does, it stops.

The app cannot ask its server where it listens: some servers open their sockets before the app starts, uvicorn alone
right after. So the process' own sockets are looked at, before the app starts and for a while afterwards.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from penstock.errors import SettingsError
from penstock.settings import Settings

log = logging.getLogger("penstock.app")

_OPEN_FILES: Final = Path("/dev/fd")
_LOOK_EVERY: Final = 0.05
_LOOKS: Final = 600


@asynccontextmanager
async def on_this_machine(settings: Settings) -> AsyncIterator[None]:
    """Raise `SettingsError` where local mode is served beyond this machine; end the process if it turns out later."""
    if not settings.is_local:
        yield
        return
    _refuse_public()
    looking = asyncio.create_task(stop_if_public())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait({looking})


async def stop_if_public() -> None:
    for _ in range(_LOOKS):
        await asyncio.sleep(_LOOK_EVERY)
        try:
            _refuse_public()
        except SettingsError as error:
            log.critical("%s", error)
            signal.raise_signal(signal.SIGTERM)
            return


def _refuse_public() -> None:
    public = sorted(address for address in listening_addresses() if not _is_loopback(address))
    if public:
        raise SettingsError(
            "PENSTOCK_ENV=local switches authentication off, so the server must listen on 127.0.0.1, but it listens on"
            f" {', '.join(public)}: start it with --host 127.0.0.1, or set PENSTOCK_ENV=production"
        )


def listening_addresses() -> set[str]:
    """The IP addresses on which sockets of this process wait for connections."""
    return {
        address[0]
        for each in _sockets()
        if each.family in (socket.AF_INET, socket.AF_INET6)
        and each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        and isinstance(address := each.getsockname(), tuple)
    }


def _sockets() -> Iterator[socket.socket]:
    for file in _OPEN_FILES.iterdir() if _OPEN_FILES.is_dir() else ():
        with suppress(OSError):  # no socket, or closed meanwhile
            own = os.dup(int(file.name))
            try:
                found = socket.socket(fileno=own)
            except OSError:
                os.close(own)
                raise
            with found:
                yield found


def _is_loopback(address: str) -> bool:
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    return (mapped or parsed).is_loopback
