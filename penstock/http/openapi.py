"""The OpenAPI document: FastAPI's, with our errors in place of its own, and made for people.

By rule, so that a domain's routes have it, too: the tag is the resource in the address, the summary the first sentence
of the endpoint's docstring, the operation id its function's name. A body without an example gets one made for it.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from penstock import __version__
from penstock.http.documented_errors import DOCUMENTED, responses
from penstock.http.examples import example_of
from penstock.http.parameters import Problem
from penstock.http.routing import SCOPE

_DESCRIPTION: Final = """
Events in, figures out. Money is a decimal string, a time is RFC 3339 in UTC.

Errors are `application/problem+json` with a stable `type`; a wrong field is named in `errors`. Every answer carries
`X-Correlation-Id`: yours if you sent one. Outside local mode send `Authorization: Bearer <key>`.
"""
_TAGS: Final = {
    "Streams": "Append events to a stream, and read it.",
    "Events": "The whole store, in order.",
    "Aggregates": "The state that a stream's events make, now or then.",
    "Webhooks": "Deliveries of other systems, signed by them.",
    "Views": "The figures, page by page.",
    "Imports": "Files in, their counts, and the lines that were not accepted.",
    "Dead letters": "What failed for good, to be run again or given up.",
    "Operations": "What runs, what needs a human, and whether all is well.",
}
_TAG_OF: Final = {
    "uploads": "Imports",
    **dict.fromkeys(("runs", "alerts", "live", "metrics", "health", "ready"), "Operations"),
}


def install(app: FastAPI) -> None:
    """Have `app.openapi()` answer with the document, made once."""

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
    components["responses"] = responses()
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, method, operation in _operations(document):
        _name(operation, path)
        _refuse(operation, method)
        _show(operation, components["schemas"])
    document["tags"] = _used_tags(document)
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method, operation


def _name(operation: dict[str, Any], path: str) -> None:
    resource = path.removeprefix("/v1/").strip("/").partition("/")[0]
    operation.setdefault("tags", [_TAG_OF.get(resource, resource.replace("-", " ").capitalize())])
    description = operation.get("description", "")
    if description:
        operation["summary"] = re.split(r"[.:;](?=\s|$)", description, maxsplit=1)[0].replace("\n", " ")
    if needed := operation.get(SCOPE):
        operation["description"] = f"{description}\n\nScope: `{needed}`.".strip()


def _refuse(operation: dict[str, Any], method: str) -> None:
    """A route may say itself what a status means, with a content of its own or without."""
    for status, error in DOCUMENTED.items():
        own = operation["responses"].get(str(status))
        if own is None and (status == 408 or (error.with_body and method == "get")):
            continue
        if own is None or status == 422 or "content" not in own:
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/{error.name}"}


def _show(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for body in (*bodies, *operation["responses"].values()):
        for content in body.get("content", {}).values():
            if "example" not in content and "examples" not in content:
                content["example"] = example_of(content["schema"], schemas)


def _used_tags(document: Mapping[str, Any]) -> list[dict[str, str]]:
    """A domain's first, as its routes are; a tag that we know with what it is about."""
    used = dict.fromkeys(tag for _, _, operation in _operations(document) for tag in operation["tags"])
    tags = sorted(used, key=lambda tag: list(_TAGS).index(tag) if tag in _TAGS else -1)
    return [{"name": tag, **({"description": _TAGS[tag]} if tag in _TAGS else {})} for tag in tags]
