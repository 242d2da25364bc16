"""The dashboard's files, with headers that let the page load nothing but what is served here."""

from pathlib import Path
from typing import Final

from fastapi import Request
from starlette.responses import Response

from penstock.http.routing import requires, router
from penstock.http.static_files import Folder

routes = router()

FOLDER: Final = Path(__file__).parents[1] / "dashboard"
_FILES: Final = Folder(
    FOLDER,
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
)


@routes.get("/", include_in_schema=False, openapi_extra=requires(None))
def read_dashboard(request: Request) -> Response:
    return _FILES.file(request, "index.html")


@routes.get("/dashboard/{name:path}", include_in_schema=False, openapi_extra=requires(None))
def read_dashboard_file(request: Request, name: str) -> Response:
    return _FILES.file(request, name)
