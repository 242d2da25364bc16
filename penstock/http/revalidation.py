"""Answers that a client may keep and ask about again: an entity tag, and 304 while nothing has changed."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

from penstock import json_codec
from penstock.http.routing import Json

_TAG: Final = re.compile(r'(?:W/)?("[^"]*+")')


def revalidated(request: Request, content: Mapping[str, Any], *, apart_from: frozenset[str] = frozenset()) -> Response:
    """`content` with its tag, or 304 if the client has it. The members `apart_from` change without being news.

    The tag is weak where there are such members. The answer is the caller's own: no cache in between may keep it.
    """
    news = {name: value for name, value in content.items() if name not in apart_from}
    tag = f'"{hashlib.sha256(json_codec.dumps(news).encode()).hexdigest()[:32]}"'
    headers = {
        "etag": f"W/{tag}" if apart_from else tag,
        "cache-control": "private, no-cache",
        "vary": "authorization",
    }
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    return Json(content, headers=headers)


def is_known(request: Request, tag: str) -> bool:
    """Whether the client says that it has what bears this tag, which is given without `W/`."""
    if_none_match = ",".join(request.headers.getlist("if-none-match"))
    return if_none_match.strip() == "*" or tag in _TAG.findall(if_none_match)
