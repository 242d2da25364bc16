"""Imports: files in, their counts, and the lines that were refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from penstock.errors import InvalidInput
from penstock.event_store import uuid7
from penstock.http.background import relay_after, send_after
from penstock.http.file_body import FILE_BODY, REJECTS
from penstock.http.import_options import MAX_OPTION, PLAIN, ImportOptions
from penstock.http.parameters import Answer, Limit, Name
from penstock.http.routing import Json, caller_of, ids_of, limiter, requires, router, settings_of
from penstock.ingest import files
from penstock.ingest.files import Import
from penstock.ingest.files.options import STRUCTURES, TEXTS
from penstock.ingest.files.parse.joins import MAX_JOINS
from penstock.relay.event_names import IMPORT_LOADED, IMPORT_REQUESTED

routes = router()

_MAX_FIELDS: Final = 20
LOOKS_AT_ONCE: Final = 4
"""Each reads a whole file before it answers; other requests need threads, too."""
_UNDO_SECONDS: Final = 20.0


class ImportAccepted(Answer):
    import_id: str
    status_url: str = Field(examples=["/v1/imports/019aa1b2-0000-7000-8000-000000000000"])
    duplicate: bool = Field(description="This very file was imported in this very way before: nothing is added.")


class StoringOut(Answer):
    """Lines become events part by part of the file, each part sorted first and then stored in steps."""

    part: int
    parts: int
    events: int = Field(description="How many of the whole file are in the store by now.")


class ImportOut(Answer):
    """`read = loaded + skipped + rejected + held + duplicate + pending`, at every moment."""

    import_id: str
    target: str
    source_name: str
    state: str = Field(description="Final are `completed`, `completed_with_rejects`, `failed`, `aborted` and `undone`.")
    error: str | None
    size_bytes: int
    bytes_read: int
    read: int
    loaded: int
    skipped: int = Field(description="A rule, of a profile say, declares that they are not wanted: no fault.")
    rejected: int
    held: int = Field(description="Good lines of orders of which others were rejected: they wait for the mended ones.")
    rejects_kept: int = Field(
        description="How many rejected and held lines are listed: the first 10,000, unless `reject_limit` is more."
    )
    duplicate: int
    pending: int = Field(description="Read, and not yet decided.")
    updated: int
    storing: StoringOut | None = Field(description="While lines become events; null before and after.")
    result: dict[str, Any] = Field(
        description="What came of it. `warnings` names what is left out or failed as a whole, and the option."
    )
    plan: dict[str, Any] | None
    content_sha256: str
    created_at: str
    updated_at: str
    finished_at: str | None


class DryRunOut(BaseModel):
    """What the import would come to. `rows`: the first twenty as they would be; `rejects`: the first twenty refused.

    Of a large file some 10,000 rows are read, for at most five seconds: then `complete` is false, and the counts are of
    what was read.
    """

    model_config = ConfigDict(extra="allow")

    dry_run: Literal[True]
    target: str
    plan: dict[str, Any]
    complete: bool
    read: int
    loaded: int
    skipped: int
    rejected: int
    held: int
    duplicate: int
    warnings: list[str]
    rows: list[Any]
    rejects: list[dict[str, Any]]


class ImportsOut(Answer):
    imports: list[ImportOut]


class FileOptions(ImportOptions):
    dry_run: Annotated[bool, Field(description="Only look: how it would be read, and what would come of it.")] = False


@dataclass(frozen=True)
class _Sent:
    name: str | None
    content: bytes
    options: Mapping[str, str]
    joined: Mapping[str, bytes] = field(default_factory=dict)


ImportId = Annotated[UUID, Path(description="As answered when the file came in.")]


@routes.post(
    "/v1/imports/{target}",
    status_code=202,
    responses={202: {"model": ImportAccepted}, 200: {"model": DryRunOut, "description": "What `dry_run` found"}},
    openapi_extra={**requires("write"), **FILE_BODY},
)
async def import_file(request: Request, target: Name, asked: Annotated[FileOptions, Query()]) -> Json:
    """Take a file. It is stored before this answers and worked on after; `status_url` shows its progress.

    Format, encoding and delimiter are found out unless they are given; without options, a file is read as the last
    one with its header that was given some. The same file again adds nothing.
    """
    sent = await sent_file(request)
    if asked.dry_run:
        look = partial(_look, request, target, asked, sent)
        return await to_thread.run_sync(look, limiter=limiter(request, "looks", LOOKS_AT_ONCE))
    imported, duplicate = await to_thread.run_sync(partial(_take, request, target, asked, sent))
    status_url = f"/v1/imports/{imported.id}"
    answer = Json({"import_id": str(imported.id), "status_url": status_url, "duplicate": duplicate}, 202)
    return started(request, answer, imported)


@routes.get("/v1/imports", responses={200: {"model": ImportsOut}}, openapi_extra=requires("read"))
def read_imports(request: Request, limit: Limit = 50) -> Json:
    """The latest imports, newest first."""
    return Json({"imports": [each.as_json() for each in files.list_imports(settings_of(request), limit)]})


@routes.get("/v1/imports/{import_id}", responses={200: {"model": ImportOut}}, openapi_extra=requires("read"))
def read_import(request: Request, import_id: ImportId) -> Json:
    """The present state of an import: state, exact counts, progress, and how its file was read."""
    return Json(files.import_status(settings_of(request), import_id).as_json())


@routes.post("/v1/imports/{import_id}/undo", responses={200: {"model": ImportOut}}, openapi_extra=requires("write"))
def undo_import(request: Request, import_id: ImportId) -> Json:
    """Take an import back: what it added goes, what it changed is as it was; of events, by events that undo them.

    `result.undo` counts what was removed, restored, and kept because somebody has changed it since. While `state` is
    `undoing`, call again. A 409 for an import that still runs, for events that nothing takes back, and for rows that
    others refer to.
    """
    imported = files.undo_import(settings_of(request), import_id, seconds=_UNDO_SECONDS)
    answer = Json(imported.as_json())
    if not imported.result["undo"].get("events"):
        return answer
    return send_after(request, answer, IMPORT_LOADED, f"undo-{import_id}-{uuid7()}", {"import_id": str(import_id)})


@routes.post("/v1/imports/{import_id}/release", responses={200: {"model": ImportOut}}, openapi_extra=requires("write"))
def release_held(
    request: Request,
    import_id: ImportId,
    key: Annotated[list[Name] | None, Query(description="Only these orders; else all that the import holds.")] = None,
) -> Json:
    """Load orders that are held back as they are, without the lines that were rejected.

    Again changes nothing. A 404 names an order that the import does not hold; a 409 says that it is not loaded yet, or
    that another import is about to complete the order.
    """
    return relay_after(request, Json(files.release_held(settings_of(request), import_id, key or ()).as_json()))


@routes.get(
    "/v1/imports/{import_id}/rejects",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}, "example": REJECTS}}}},
    openapi_extra=requires("read"),
)
def read_rejects(request: Request, import_id: ImportId) -> Response:
    """The lines left out as CSV that is safe to open in a spreadsheet: line, place, outcome, field, reason, content."""
    lines = files.rejects_csv(settings_of(request), import_id)
    headers = {"content-disposition": f'attachment; filename="rejects-{import_id}.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _look(request: Request, target: str, asked: FileOptions, sent: _Sent) -> Json:
    """In a thread, down to the answer's text: nothing of a file or its options is parsed on the event loop."""
    options = _read_how(request, asked, sent)
    return Json(files.dry_run(settings_of(request), target, sent.content, options=options))


def _take(request: Request, target: str, asked: FileOptions, sent: _Sent) -> tuple[Import, bool]:
    return files.create_import(
        settings_of(request),
        target,
        sent.content,
        name=sent.name,
        options=_read_how(request, asked, sent),
        reject_limit=asked.reject_limit,
        reject_share=asked.reject_share,
        actor=caller_of(request).name,
    )


def _read_how(request: Request, asked: FileOptions, sent: _Sent) -> dict[str, Any]:
    return files.store_joined(settings_of(request), asked.for_imports(sent.options), sent.joined)


async def sent_file(request: Request) -> _Sent:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return _checked(_Sent(None, await request.body(), {}))
    async with request.form(max_files=1 + MAX_JOINS, max_fields=_MAX_FIELDS) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput("missing: send the file as the form's part `file`", field="file")
        options = {name: value for name, value in form.items() if isinstance(value, str)}
        for name, value in options.items():
            if name not in (*STRUCTURES, *TEXTS, *PLAIN):
                raise InvalidInput("no such option of a form", field=name[:80])
            if len(value) > MAX_OPTION:
                raise InvalidInput(f"longer than {MAX_OPTION} characters", field=name)
        further = [each for each in form.getlist("joined") if isinstance(each, UploadFile)]
        joined = {each.filename or "": await each.read() for each in further}
        return _checked(_Sent(file.filename, await file.read(), options, joined))


def _checked(sent: _Sent) -> _Sent:
    if not sent.content:
        raise InvalidInput("empty", field="file")
    return sent


def started(request: Request, answer: Json, imported: Import) -> Json:
    """The answer, and the import's start; a fresh id for each, since Inngest drops an event whose id it has seen."""
    if imported.is_final:
        return answer
    data = {"import_id": str(imported.id), "correlation_id": ids_of(request).correlation_id}
    return send_after(request, answer, IMPORT_REQUESTED, f"import-{imported.id}-{uuid7()}", data)
