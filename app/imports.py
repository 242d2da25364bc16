"""Imports: files in, their account, and the lines that were refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from app.parameters import Answer, Limit, Name
from app.routing import Json, caller_of, ids_of, needs, router, settings_of
from app.waking import announced
from penstock import imports, json_codec
from penstock.errors import InvalidInput
from penstock.event_store import uuid7
from penstock.imports import Import

routes = router()

REQUESTED: Final = "import/file.requested"
_JSON_OPTIONS: Final = ("mapping", "constants", "defaults", "dates")
_TEXT_OPTIONS: Final = ("decimal", "format", "encoding", "delimiter")
_MAX_FIELDS: Final = 20


class ImportAccepted(Answer):
    import_id: str
    status_url: str = Field(examples=["/v1/imports/019aa1b2-0000-7000-8000-000000000000"])
    duplicate: bool = Field(description="This very file was imported in this very way before: nothing is added.")


class ImportOut(Answer):
    """`read = loaded + rejected + duplicate + pending`, at every moment."""

    import_id: str
    target: str
    source_name: str
    state: str
    error: str | None
    size_bytes: int
    bytes_read: int
    read: int
    loaded: int
    rejected: int
    duplicate: int
    pending: int = Field(description="Read, and not yet decided.")
    updated: int
    result: dict[str, Any]
    plan: dict[str, Any] | None
    content_sha256: str
    created_at: str
    updated_at: str
    finished_at: str | None


class DryRunOut(BaseModel):
    """What the import would come to. `rows`: the first twenty as they would be; `rejects`: the first twenty refused."""

    model_config = ConfigDict(extra="allow")

    dry_run: Literal[True]
    target: str
    plan: dict[str, Any]
    read: int
    loaded: int
    rejected: int
    duplicate: int
    rows: list[Any]
    rejects: list[dict[str, Any]]


class ImportsOut(Answer):
    imports: list[ImportOut]


@dataclass(frozen=True)
class _Sent:
    name: str | None
    content: bytes
    options: Mapping[str, str]


_FILE: Final = {
    "requestBody": {
        "required": True,
        "description": "The file itself, or a form with the file as `file`.",
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"schema": {}},
            "application/x-ndjson": {"schema": {"type": "string"}},
            "application/gzip": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
        },
    }
}
_Text = Annotated[str | None, Query(max_length=20_000)]
ImportId = Annotated[UUID, Path(description="As answered when the file came in.")]


@routes.post(
    "/v1/imports/{target}",
    status_code=202,
    responses={202: {"model": ImportAccepted}, 200: {"model": DryRunOut, "description": "What `dry_run` found"}},
    openapi_extra={**needs("write"), **_FILE},
)
async def import_file(
    request: Request,
    target: Name,
    mapping: Annotated[_Text, Query(description='JSON: {"column of the file": "field"}.')] = None,
    constants: Annotated[_Text, Query(description='JSON: {"field": "value of every row"}.')] = None,
    defaults: Annotated[_Text, Query(description='JSON: {"field": "value where the file has none"}.')] = None,
    dates: Annotated[_Text, Query(description='JSON: {"field": "strptime format"}.')] = None,
    decimal: Literal[".", ","] | None = None,
    format: Literal["csv", "tsv", "json", "jsonl"] | None = None,
    encoding: Annotated[str | None, Query(max_length=40)] = None,
    delimiter: Annotated[str | None, Query(max_length=1)] = None,
    header: bool | None = None,
    reject_limit: Annotated[int | None, Query(ge=0, le=2**31 - 1, description="Stop after so many rejects.")] = None,
    dry_run: Annotated[bool, Query(description="Only look: how it would be read, and what would come of it.")] = False,
) -> Json:
    """Take a file. It is stored before this answers and worked on after; `status_url` tells how it goes.

    Format, encoding and delimiter are found out unless they are given. The same file again adds nothing.
    """
    sent = await _read_file(request)
    given = dict(request.query_params.items()) | dict(sent.options)
    options = _options(given, header)
    settings = settings_of(request)
    if dry_run:
        look = partial(imports.dry_run, settings, target, sent.content, options=options)
        return Json(await run_in_threadpool(look))
    imported, duplicate = await run_in_threadpool(
        imports.create_import,
        settings,
        target,
        sent.content,
        name=sent.name,
        options=options,
        reject_limit=reject_limit,
        actor=caller_of(request).name,
    )
    status_url = f"/v1/imports/{imported.id}"
    answer = Json({"import_id": str(imported.id), "status_url": status_url, "duplicate": duplicate}, 202)
    return answer if imported.is_final else _started(request, answer, imported)


@routes.get("/v1/imports", responses={200: {"model": ImportsOut}}, openapi_extra=needs("read"))
def read_imports(request: Request, limit: Limit = 50) -> Json:
    """The latest imports, newest first."""
    return Json({"imports": [each.as_json() for each in imports.list_imports(settings_of(request), limit)]})


@routes.get("/v1/imports/{import_id}", responses={200: {"model": ImportOut}}, openapi_extra=needs("read"))
def read_import(request: Request, import_id: ImportId) -> Json:
    """How an import stands: state, exact counts, progress, and how its file was read."""
    return Json(imports.import_status(settings_of(request), import_id).as_json())


@routes.get(
    "/v1/imports/{import_id}/rejects",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    openapi_extra=needs("read"),
)
def read_rejects(request: Request, import_id: ImportId) -> Response:
    """The refused lines as CSV that is safe to open in a spreadsheet: line, place, field, reason, content."""
    lines = imports.rejects_csv(settings_of(request), import_id)
    headers = {"content-disposition": f'attachment; filename="rejects-{import_id}.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


async def _read_file(request: Request) -> _Sent:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return _checked(_Sent(None, await request.body(), {}))
    async with request.form(max_files=1, max_fields=_MAX_FIELDS) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput("missing: send the file as the form's part `file`", field="file")
        options = {name: value for name, value in form.items() if isinstance(value, str)}
        for name in options:
            if name not in (*_JSON_OPTIONS, *_TEXT_OPTIONS):
                raise InvalidInput("no such option of a form", field=name[:80])
        return _checked(_Sent(file.filename, await file.read(), options))


def _checked(sent: _Sent) -> _Sent:
    if not sent.content:
        raise InvalidInput("empty", field="file")
    return sent


def _options(given: Mapping[str, str], header: bool | None) -> dict[str, Any]:
    """What was said as `imports` wants it; that checks the rest."""
    options: dict[str, Any] = {
        name: json_codec.loads(given[name], field=name) for name in _JSON_OPTIONS if name in given
    }
    options |= {name: given[name] for name in _TEXT_OPTIONS if name in given}
    return options if header is None else {**options, "header": header}


def _started(request: Request, answer: Json, imported: Import) -> Json:
    """A fresh id for each call, since Inngest drops an event whose id it has seen."""
    data = {"import_id": str(imported.id), "correlation_id": ids_of(request).correlation_id}
    return announced(request, answer, REQUESTED, f"import-{imported.id}-{uuid7()}", data)
