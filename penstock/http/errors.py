"""Every error in one form: `application/problem+json` (RFC 9457) with a stable `type`, and one table of statuses."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from penstock import errors, json_codec
from penstock.http.request_ids import request_ids_of

log = logging.getLogger("penstock.app")

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:penstock:problem:"
MAX_FAULTS: Final = 20
MAX_FIELD: Final = 200

STATUS: Final[Mapping[type[errors.PenstockError], int]] = {
    errors.PenstockError: 500,
    errors.SettingsError: 500,
    errors.InvalidInput: 422,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Forbidden: 403,
    errors.Unauthenticated: 401,
    errors.Unavailable: 503,
}
"""The status of each branch of the tree; a kind that is not named has that of the nearest one above it."""

_SLUGS: Final[Mapping[int, str]] = {
    400: "bad-request",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "body-too-slow",
    413: "body-too-large",
    415: "unsupported-media-type",
}
_RESERVED: Final = frozenset({"type", "title", "status", "detail", "correlation_id"})


class BodyTooLarge(HTTPException):
    """The body is over the limit. An HTTPException, since only these pass through FastAPI's reading of a body."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes", headers={"connection": "close"})


def install(app: FastAPI) -> None:
    """Answer every foreseen error of `app` as a problem. Unforeseen ones are the middleware's."""
    app.add_exception_handler(errors.PenstockError, _of_penstock)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)


def problem(
    request: Mapping[str, Any],
    status: int,
    slug: str,
    detail: str,
    details: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One problem as a response. `request` is the ASGI scope, for the correlation id."""
    body: dict[str, object] = {
        "type": type_of(slug),
        "title": title(slug),
        "status": status,
        "detail": detail,
        "correlation_id": request_ids_of(request).correlation_id,
    }
    body |= {name: value for name, value in (details or {}).items() if name not in _RESERVED}
    return Response(json_codec.dumps(body), status, headers, MEDIA_TYPE)


def type_of(slug: str) -> str:
    return TYPE_PREFIX + slug


def title(slug: str) -> str:
    return slug.replace("-", " ").capitalize()


def status_of(kind: type[errors.PenstockError]) -> int:
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def of_penstock(request: Mapping[str, Any], error: errors.PenstockError) -> Response:
    """The response for an error of the project's own."""
    status = status_of(type(error))
    detail = str(error)
    if isinstance(error, errors.DatabaseUnavailable):
        log.warning("%s (%s)", detail, request_ids_of(request).correlation_id)
        detail = "the database cannot be reached at the moment"  # the driver's own words name hosts and users
    elif status == 500:
        log.error("%s (%s)", detail, request_ids_of(request).correlation_id)
    if isinstance(error, errors.InvalidInput):
        return _invalid_input(request, error)
    return problem(request, status, error.slug, detail, error.details, _headers(error))


def invalid(request: Mapping[str, Any], faults: Iterable[Mapping[str, str]]) -> Response:
    """A 422 that names each field at fault, the first twenty of them."""
    shown = list(islice(faults, MAX_FAULTS))
    detail = "; ".join(f"{fault['field']}: {fault['reason']}" for fault in shown[:3])
    return problem(request, 422, errors.InvalidInput.slug, detail, {"errors": shown})


def _invalid_input(request: Mapping[str, Any], error: errors.InvalidInput) -> Response:
    """Fields are named as in the body, whichever check found the fault."""
    given = error.details.get("errors")
    if not isinstance(given, list):
        return problem(request, 422, error.slug, str(error), error.details)
    return invalid(request, [{**fault, "field": fault["field"].replace("body.", "", 1)[:MAX_FIELD]} for fault in given])


def _headers(error: errors.PenstockError) -> dict[str, str]:
    if isinstance(error, errors.Unavailable):
        return {"retry-after": str(max(1, round(error.retry_after)))}
    if isinstance(error, errors.Unauthenticated):
        return {"www-authenticate": "Bearer"}
    return {}


def _of_penstock(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.PenstockError)
    return of_penstock(request.scope, error)


def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return invalid(request.scope, (_fault(each) for each in error.errors()))


def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, errors.PenstockError):  # FastAPI wraps what the reading of a body raises
        return of_penstock(request.scope, error.__cause__)
    slug = _SLUGS.get(error.status_code, "http")
    if error.status_code == 405:
        return problem(request.scope, 405, slug, "no such method here", headers={"allow": _allowed(request)})
    detail = f"there is nothing at {request.url.path[:MAX_FIELD]}" if error.detail == "Not Found" else error.detail
    return problem(request.scope, error.status_code, slug, detail, headers=error.headers)


def _allowed(request: Request) -> str:
    """All methods of the path: the router names those of the first route only."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    fitting = [route.methods or () for route in routes if route.path_regex.match(request.scope["path"])]
    return ", ".join(sorted({method for methods in fitting for method in methods}))


def _fault(error: Mapping[str, Any]) -> dict[str, str]:
    return {"field": field_name(error["loc"]), "reason": _reason(error)}


def field_name(location: Sequence[str | int]) -> str:
    """`("body", "events", 0, "payload")` as `events[0].payload`."""
    parts = location[1:] if len(location) > 1 and location[0] in _PLACES else location
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return name.removeprefix(".")[:MAX_FIELD]


_PLACES = ("body", "query", "path", "header", "cookie")


def _reason(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "no such field"
    return re.sub(r"^(Value error|Assertion failed), ", "", str(error["msg"]))
