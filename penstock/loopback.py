"""Which requests a server without keys may answer: those meant for this machine.

A page of another site can reach 127.0.0.1 through a rebound name or a form, but it cannot forge Host and Origin.
"""

import re
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK: Final = re.compile(r"localhost|.+\.localhost|127(\.\d{1,3}){3}|\[?::1\]?|host\.docker\.internal")


def host_name(host: str) -> str:
    """The name in a Host header, without its port; empty if it cannot be read."""
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]+)(:\d+)?", host.strip())
    return match[1].lower() if match else ""


def is_loopback(name: str) -> bool:
    return bool(_LOOPBACK.fullmatch(name))


def is_local_origin(origin: str) -> bool:
    """Whether an Origin header names a page of this machine."""
    try:
        return is_loopback((urlsplit(origin).hostname or "").lower())
    except ValueError:
        return False
