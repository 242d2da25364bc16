"""`/docs`: the OpenAPI document to read and try out. All that the page needs is served here, so it works offline."""

from pathlib import Path
from typing import Final

from fastapi import Request
from starlette.responses import Response

from penstock.http.routing import requires, router
from penstock.http.static_files import Folder

routes = router()

# Swagger UI writes style attributes and has its icons as data in its style sheet; no script comes from elsewhere.
_FILES: Final = Folder(
    Path(__file__).parents[1] / "api_docs",
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)


@routes.get("/docs", include_in_schema=False, openapi_extra=requires(None))
def read_docs(request: Request) -> Response:
    return _FILES.file(request, "index.html")


@routes.get("/docs/{name:path}", include_in_schema=False, openapi_extra=requires(None))
def read_docs_file(request: Request, name: str) -> Response:
    return _FILES.file(request, name)
