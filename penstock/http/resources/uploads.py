"""Files too large for a request: a signed address to send the file to, and the call that starts its import.

The address is Supabase Storage's where that is configured. Otherwise it is one of the app itself, which writes the
file to its folder while it arrives and never holds more than a block of it.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, BinaryIO, Final, cast

from anyio import to_thread
from fastapi import Path, Query, Request
from pydantic import Field
from starlette.exceptions import HTTPException

from penstock.errors import Unavailable
from penstock.http.errors import BodyTooLarge
from penstock.http.file_body import CSV
from penstock.http.import_options import ImportOptions
from penstock.http.parameters import Answer, Name
from penstock.http.resources.imports import ImportId, started
from penstock.http.routing import Json, caller_of, limiter, requires, router, settings_of
from penstock.http.upload_body import UploadBody
from penstock.http.upload_token import sign, verify
from penstock.ingest import files
from penstock.ingest.files import Import

routes = router()

PREFIX: Final = "/v1/uploads/"
VALID: Final = timedelta(hours=2)
"""As long as Supabase Storage's."""
AT_ONCE: Final = 8
"""Uploads that are written at the same time: a slow client holds a thread, and other requests need some, too."""


class UploadOptions(ImportOptions):
    name: Annotated[str, Field(min_length=1, max_length=500, description="The file's name, to show it by.")] = "upload"


class UploadOpened(Answer):
    import_id: str
    upload_url: str = Field(
        examples=["https://project.supabase.co/storage/v1/object/upload/sign/imports/incoming/019aa1b2?token=eyJ"],
        description="PUT the file there as it is. Anybody who has this address can, once.",
    )
    expires_at: str = Field(examples=["2026-11-21T11:30:00Z"])
    start_url: str = Field(description="POST there when the file has arrived.")
    status_url: str


class UploadReceived(Answer):
    import_id: str
    state: str
    size_bytes: int
    status_url: str


@routes.post(
    "/v1/imports/{target}/uploads",
    status_code=201,
    responses={201: {"model": UploadOpened}},
    openapi_extra=requires("write"),
)
def open_upload(request: Request, target: Name, asked: Annotated[UploadOptions, Query()]) -> Json:
    """Ask where to send a large file: then PUT it to `upload_url`, and POST to `start_url`."""
    settings = settings_of(request)
    opened, url = files.open_upload(
        settings,
        target,
        name=asked.name,
        options=asked.for_imports(),
        reject_limit=asked.reject_limit,
        reject_share=asked.reject_share,
        actor=caller_of(request).name,
    )
    expires_at = datetime.now(UTC).replace(microsecond=0) + VALID
    answer = {
        "import_id": str(opened.id),
        "upload_url": url or f"{_origin(request)}{PREFIX}{sign(settings, opened.id, expires_at)}",
        "expires_at": expires_at,
        "start_url": f"/v1/imports/{opened.id}/start",
        "status_url": f"/v1/imports/{opened.id}",
    }
    return Json(answer, 201)


@routes.put(
    PREFIX + "{token}",
    status_code=202,
    responses={202: {"model": UploadReceived}, 408: {"description": "Nothing has come for a minute"}},
    openapi_extra={
        **requires(None),
        "requestBody": {
            "required": True,
            "description": "The file itself, of any size up to the app's own limit.",
            "content": {
                "application/octet-stream": {
                    "schema": {"type": "string", "format": "binary"},
                    "example": CSV,
                }
            },
        },
    },
)
async def receive_upload(request: Request, token: Annotated[str, Path(max_length=200)]) -> Json:
    """Send the file. It is stored before this answers, and its import starts; a POST to `start_url` does no harm.

    The address is the permission: no key is asked for. A file that breaks off is not taken; send it again.
    """
    settings = settings_of(request)
    import_id = verify(settings, token, datetime.now(UTC))
    if request.headers.get("content-type", "").lower().startswith("multipart/"):
        raise HTTPException(415, "send the file itself, not a form with it")
    content_length = request.headers.get("content-length", "")
    if content_length.isdigit() and int(content_length[:20]) > settings.max_upload_bytes:
        raise BodyTooLarge(settings.max_upload_bytes)
    body = UploadBody(request.stream(), settings.max_upload_bytes)
    await body.begin()
    receive = partial(files.receive_upload, settings, import_id, cast(BinaryIO, body))
    try:
        return _answer(request, await to_thread.run_sync(receive, limiter=limiter(request, "uploads", AT_ONCE)))
    except OSError as error:  # a full disk, above all
        raise Unavailable(f"the file could not be stored: {error.strerror}", retry_after=60) from error


@routes.post(
    "/v1/imports/{import_id}/start",
    status_code=202,
    responses={202: {"model": UploadReceived}},
    openapi_extra=requires("write"),
)
def start_import(request: Request, import_id: ImportId) -> Json:
    """Say that an upload is complete: its import starts. Again is fine; 404 while no file has arrived."""
    return _answer(request, files.end_upload(settings_of(request), import_id))


def _answer(request: Request, received: Import) -> Json:
    answer = {
        "import_id": str(received.id),
        "state": received.state,
        "size_bytes": received.size_bytes,
        "status_url": f"/v1/imports/{received.id}",
    }
    return started(request, Json(answer, 202), received)


def _origin(request: Request) -> str:
    """The app's public address where it is known: a forged Host must not lead a file elsewhere."""
    settings = settings_of(request)
    known = None if settings.is_local else settings.inngest_serve_origin
    return (known or str(request.base_url)).rstrip("/")
