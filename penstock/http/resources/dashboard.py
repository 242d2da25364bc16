"""The dashboard's files, read once, with headers that let the page load nothing but what is served here."""

from functools import cache
from pathlib import Path
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from penstock.http.routing import requires, router

routes = router()

FOLDER: Final = Path(__file__).parents[1] / "dashboard"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


@cache
def _files() -> dict[str, Path]:
    """By name: a path from a request is looked up here and never reaches the file system."""
    return {str(path.relative_to(FOLDER)): path for path in FOLDER.rglob("*") if path.suffix in _TYPES}


@routes.get("/", include_in_schema=False, openapi_extra=requires(None))
def read_dashboard(request: Request) -> Response:
    return _file("index.html")


@routes.get("/dashboard/{name:path}", include_in_schema=False, openapi_extra=requires(None))
def read_dashboard_file(request: Request, name: str) -> Response:
    return _file(name)


def _file(name: str) -> Response:
    path = _files().get(name)
    if path is None:
        raise HTTPException(404)
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
    return Response(path.read_bytes(), headers=headers, media_type=_TYPES[path.suffix])
