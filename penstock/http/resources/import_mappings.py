"""What a file would be read as, before it is imported; and how files are read that were explained once.

Their addresses are below `/v1/imports/`, so these routes come before those of `imports`.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from anyio import to_thread
from fastapi import Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from penstock.http.file_body import FILE_BODY
from penstock.http.import_options import ImportOptions
from penstock.http.parameters import Answer, Limit
from penstock.http.resources.imports import LOOKS_AT_ONCE, sent_file
from penstock.http.routing import Json, caller_of, limiter, requires, router, settings_of
from penstock.ingest import files

routes = router()

MappingId = Annotated[UUID, Path(description="As listed.")]
_OPTIONS = {"mapping": {"Invoice no.": "order_id", "Remarks": None}, "dates": {"ordered_at": "%d/%m/%Y"}}


class MappingOut(Answer):
    """How files with this header are read into the target, unless an import says something else."""

    mapping_id: str
    target: str = Field(examples=["orders"])
    header: list[str] = Field(description="Of the file that it was given for. Order, case and punctuation are one.")
    options: dict[str, Any] = Field(description="As an import takes them.", examples=[_OPTIONS])
    source_name: str = Field(description="The file that it was given for.", examples=["sales-2026-10.csv"])
    actor: str
    uses: int = Field(description="How many imports were read by it.")
    used_at: str | None
    created_at: str = Field(examples=["2026-11-21T09:30:00Z"])
    updated_at: str


class MappingsOut(Answer):
    mappings: list[MappingOut]


class MappingIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    options: dict[str, Any] = Field(description="All of them: what is left out is forgotten.", examples=[_OPTIONS])


class MappingForgotten(Answer):
    mapping_id: str
    forgotten: Literal[True]


class PreviewOptions(ImportOptions):
    target: Annotated[
        str | None, Field(min_length=1, max_length=100, description="Without it, the one that fits best.")
    ] = None


class ChoiceOut(Answer):
    label: str = Field(examples=["day before month"])
    set: dict[str, Any] = Field(
        description="To be merged into the options, objects by their keys; of `target`, the parameter.",
        examples=[{"dates": {"ordered_at": "%d/%m/%Y"}}],
    )


class QuestionOut(Answer):
    code: Literal["sheet", "target", "encoding", "missing-field", "date", "decimal", "unmapped"]
    text: str = Field(examples=["How is 3/4/2026 to be read?"])
    column: str | None = Field(examples=["Order date"])
    field: str | None = Field(examples=["ordered_at"])
    choices: list[ChoiceOut]


class ColumnOut(Answer):
    name: str = Field(examples=["Order date"])
    field: str | None = Field(description="What it would be read as; null: left out.", examples=["ordered_at"])
    type: Literal["integer", "number", "time", "boolean", "text", "empty"] = Field(
        description="What its values look like."
    )
    examples: list[str] = Field(examples=[["3/4/2026", "5/4/2026"]])
    blank: int = Field(description="In how many of the rows it has nothing.")


class TargetOut(Answer):
    target: str
    recognised: int = Field(description="How many of its fields have a column.")
    missing: list[str] = Field(description="Required fields without a column.")


class PreviewOut(Answer):
    """Of the first 10,000 rows, and 16 MB. Ask again with the answers until there is no question that matters."""

    target: str
    targets: list[TargetOut] = Field(description="All of them, the best first.")
    columns: list[ColumnOut]
    plan: dict[str, Any] | None = Field(
        description="How it would be read; `remembered` is the mapping used. Null while a required field is missing."
    )
    options: dict[str, Any] = Field(description="The options that this is by, a remembered mapping's included.")
    complete: bool = Field(description="All rows of the file were looked at.")
    read: int
    accepted: int = Field(description="Rows that can be read. What is stored already shows in a dry run.")
    rejected: int
    rows: list[dict[str, str]] = Field(description="The first twenty, as the file has them.")
    rejects: list[dict[str, Any]] = Field(description="The first twenty: line, field, reason, content.")
    questions: list[QuestionOut]


@routes.post(
    "/v1/imports/preview",
    responses={200: {"model": PreviewOut}},
    openapi_extra={**requires("write"), **FILE_BODY},
)
async def preview_file(request: Request, asked: Annotated[PreviewOptions, Query()]) -> Json:
    """Look at a file that nobody has explained yet: its columns, the best guess, its first rows, and what to ask.

    Where an answer would decide (which sheet, which column, day or month first) there is a question with its choices
    in place of an error. Nothing is stored.
    """
    sent = await sent_file(request)

    def look() -> Json:
        options = asked.for_imports(sent.options)
        return Json(files.describe_file(settings_of(request), sent.content, target=asked.target, options=options))

    return await to_thread.run_sync(look, limiter=limiter(request, "looks", LOOKS_AT_ONCE))


@routes.get("/v1/imports/mappings", responses={200: {"model": MappingsOut}}, openapi_extra=requires("read"))
def read_mappings(
    request: Request,
    target: Annotated[str | None, Query(min_length=1, max_length=100)] = None,
    limit: Limit = 1000,
) -> Json:
    """The remembered mappings, of one target or of all; those that were set last first."""
    found = files.list_mappings(settings_of(request), target, limit)
    return Json({"mappings": [mapping.as_json() for mapping in found]})


@routes.get("/v1/imports/mappings/{mapping_id}", responses={200: {"model": MappingOut}}, openapi_extra=requires("read"))
def read_mapping(request: Request, mapping_id: MappingId) -> Json:
    """One remembered mapping."""
    return Json(files.read_mapping(settings_of(request), mapping_id).as_json())


@routes.put(
    "/v1/imports/mappings/{mapping_id}", responses={200: {"model": MappingOut}}, openapi_extra=requires("write")
)
def change_mapping(request: Request, mapping_id: MappingId, asked: MappingIn) -> Json:
    """Set a remembered mapping's options: the next file with this header is read by them. What was imported stays."""
    changed = files.change_mapping(settings_of(request), mapping_id, asked.options, actor=caller_of(request).name)
    return Json(changed.as_json())


@routes.delete(
    "/v1/imports/mappings/{mapping_id}", responses={200: {"model": MappingForgotten}}, openapi_extra=requires("write")
)
def forget_mapping(request: Request, mapping_id: MappingId) -> Json:
    """Forget a remembered mapping: the next file is read as any other. What was imported by it stays."""
    files.forget_mapping(settings_of(request), mapping_id)
    return Json({"mapping_id": str(mapping_id), "forgotten": True})
