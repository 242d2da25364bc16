"""The ids of a request, which go into answers, logs and the metadata of events."""

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.event_store import uuid7

_KEY: Final = "penstock.request_ids"
_CORRELATION_ID: Final = re.compile(rb"[A-Za-z0-9_.:/@+=-]{1,128}")


@dataclass(frozen=True, slots=True)
class RequestIds:
    """`correlation_id` is the caller's, for all that one intention causes; `request_id` is this request's own."""

    request_id: str
    correlation_id: str


def begin(scope: MutableMapping[str, Any], given: bytes | None) -> RequestIds:
    """Give the request its ids. A correlation id that is not a plain word is replaced."""
    request_id = str(uuid7())
    correlation_id = given.decode() if given and _CORRELATION_ID.fullmatch(given) else request_id
    ids = scope[_KEY] = RequestIds(request_id, correlation_id)
    return ids


def request_ids_of(scope: Mapping[str, Any]) -> RequestIds:
    """The ids of the request whose ASGI scope this is."""
    ids: RequestIds = scope[_KEY]
    return ids
