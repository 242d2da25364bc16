"""The OpenAPI document: FastAPI's, with our errors in place of its own, and the key."""

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from penstock import __version__
from penstock.http.errors import MEDIA_TYPE
from penstock.http.parameters import Problem
from penstock.http.routing import SCOPE

_DESCRIPTION: Final = """
Events in, figures out. Money is a decimal string, a time is RFC 3339 in UTC.

Errors are `application/problem+json` with a stable `type`; a wrong field is named in `errors`. Every answer carries
`X-Correlation-Id`: yours if you sent one. Outside local mode send `Authorization: Bearer <key>`.
"""
_REFERENCE: Final = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
_ERRORS: Final = {
    "400": "The body is not what its Content-Type says",
    "401": "No key, or an unknown one; for webhooks: no signature that fits",
    "403": "The key lacks the scope; in local mode: not meant for this machine",
    "404": "There is no such thing",
    "409": "The present state does not allow it",
    "413": "The body is too large",
    "415": "Not a media type that is read here",
    "422": "A field is wrong; `errors` names it",
    "503": "Passing: try again after Retry-After seconds",
}
_WITH_BODY: Final = frozenset({"400", "409", "413", "415"})


def install(app: FastAPI) -> None:
    """Have `penstock.http.openapi()` answer with the document, made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(title="Penstock", version=__version__, description=_DESCRIPTION, routes=app.routes)
    components = document["components"]
    components["schemas"]["Problem"] = Problem.model_json_schema()
    for replaced in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(replaced, None)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path in document["paths"].values():
        for method, operation in path.items():
            _describe(operation, method)
    return document


def _describe(operation: dict[str, Any], method: str) -> None:
    needed = operation.get(SCOPE)
    for status, meaning in _ERRORS.items():
        if status in _WITH_BODY and method == "get":
            continue
        if status not in operation["responses"] or status == "422":
            operation["responses"][status] = {"description": meaning, **_REFERENCE}
    if needed:
        operation["description"] = f"{operation.get('description', '')}\n\nScope: `{needed}`.".strip()
