"""Streams: append events to one, and read it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from fastapi import Query, Request
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from penstock.errors import NotFound
from penstock.event_store import Appended, NewEvent, append, append_one, uuid7
from penstock.event_store.pages import page_of_stream
from penstock.http.background import freezes, relay_after
from penstock.http.parameters import AggregateId, AggregateType, Answer, Limit, RecordedEventOut
from penstock.http.routing import (
    Json,
    StrictRequest,
    caller_of,
    fast_path,
    ids_of,
    in_thread,
    requires,
    router,
    settings_of,
    spliced,
)
from penstock.payloads import check_payload_time
from penstock.postgres import pool
from penstock.types import OccurredAt, storable

routes = router()

MAX_EVENTS: Final = 1000
_WORDS: Final = ("any", "no_stream", "stream_exists")


def _expected_version(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31:
        return value
    if value in _WORDS:
        return str(value)
    raise ValueError("neither a version from 0 to 2147483647 nor any, no_stream or stream_exists")


ExpectedVersion = Annotated[
    int | Literal["any", "no_stream", "stream_exists"],
    PlainValidator(_expected_version),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 0, "maximum": 2**31 - 1}, {"enum": list(_WORDS)}],
            "description": "What the stream must look like: its version, or a word. 0 is the same as `no_stream`.",
        }
    ),
]
Reference = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(storable)]


class EventMetadata(BaseModel):
    """Anything of yours, and these. `actor` (the key's name) and `source` (`api`) are replaced by the server's."""

    model_config = ConfigDict(extra="allow")

    correlation_id: Reference | None = Field(None, description="Else that of the request: X-Correlation-Id.")
    causation_id: Reference | None = Field(None, description="Else the request's own id.")
    occurred_at: OccurredAt | None = Field(None, description="When it happened; else now.")


class NewEventIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: UUID | None = Field(
        None, description="Makes a retry recognisable. Without it one is made, and a retry appends again."
    )
    event_type: Annotated[str, Field(min_length=1, max_length=200, examples=["TicketOpened"])]
    payload: Annotated[dict[str, Any], Field(examples=[{"subject": "Late parcel"}])]
    metadata: EventMetadata | None = None
    schema_version: Annotated[StrictInt, Field(ge=1, le=2**31 - 1)] = 1

    @model_validator(mode="after")
    def _has_a_plausible_time(self) -> Self:
        check_payload_time(self.event_type, self.payload)
        return self


def _distinct(events: list[NewEventIn]) -> list[NewEventIn]:
    """The store refuses it as well, but cannot say where it is in the body."""
    places: dict[UUID | None, int] = {}
    for place, event in enumerate(events):
        if event.id and places.setdefault(event.id, place) != place:
            raise ValueError(f"the id of event {places[event.id]} appears again at event {place}")
    return events


class AppendIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expected_version: ExpectedVersion
    events: Annotated[list[NewEventIn], Field(min_length=1, max_length=MAX_EVENTS), AfterValidator(_distinct)]


class AppendedEventOut(Answer):
    id: str
    version: int
    position: int


class AppendedOut(Answer):
    """`version` and `position` are those of the last event."""

    aggregate_id: str
    version: int
    position: int
    duplicate: bool = Field(description="These events were stored by an earlier call; this repeats its answer.")
    events: list[AppendedEventOut]


class StreamOut(Answer):
    aggregate_type: str
    aggregate_id: str
    events: list[RecordedEventOut]
    next: int | None = Field(description="`after_version` of the next page; null at the end.")


def _append(request: Request, aggregate_type: str, aggregate_id: str, body: AppendIn) -> Json:
    events = _new_events(request, body.events)
    with pool.connection(settings_of(request)) as connection:
        appended = append(connection, aggregate_type, aggregate_id, body.expected_version, events)
    return relay_after(request, Json(_appended(aggregate_id, events, appended), 201))


async def _append_directly(request: StrictRequest) -> Json | None:
    """What FastAPI would do for `append_events`, at a third of the cost: one event is stored on the event loop, since a
    thread's hand-over costs more than the append. What looks wrong goes the usual way.
    """
    try:
        aggregate_type = _AGGREGATE_TYPE.validate_python(request.path_params["aggregate_type"])
        aggregate_id = _AGGREGATE_ID.validate_python(request.path_params["aggregate_id"])
        given, is_large = await request.json(), await request.is_large()
        validate = partial(AppendIn.model_validate, given)
        body = await in_thread(request, validate) if is_large else validate()
    except ValidationError:
        return None
    if len(body.events) > 1 or is_large or freezes():
        # much takes too long to encode for a loop; and a frozen loop would not hear Postgres hang up
        return await run_in_threadpool(_append, request, aggregate_type, aggregate_id, body)
    (event,) = events = _new_events(request, body.events)
    url = settings_of(request).database_url
    appended = await append_one(url, aggregate_type, aggregate_id, body.expected_version, event)
    return relay_after(request, Json(_appended(aggregate_id, events, appended), 201))


_AGGREGATE_TYPE: Final = TypeAdapter(AggregateType)
_AGGREGATE_ID: Final = TypeAdapter(AggregateId)


@routes.post(
    "/v1/streams/{aggregate_type}/{aggregate_id:path}/events",
    status_code=201,
    responses={201: {"model": AppendedOut}},
    openapi_extra=requires("write"),
)
@fast_path(_append_directly)
def append_events(request: Request, aggregate_type: AggregateType, aggregate_id: AggregateId, body: AppendIn) -> Json:
    """Append events to a stream, all or nothing.

    409 `version-conflict` with `expected` and `actual` if the stream is not as expected; 409 `event-id-reused` if an
    id is taken by another event. The same call with the same ids answers as the first time, with `duplicate: true`.
    """
    return _append(request, aggregate_type, aggregate_id, body)


@routes.get(
    "/v1/streams/{aggregate_type}/{aggregate_id:path}/events",
    responses={200: {"model": StreamOut}},
    openapi_extra=requires("read"),
)
def read_events_of_stream(
    request: Request,
    aggregate_type: AggregateType,
    aggregate_id: AggregateId,
    after_version: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    limit: Limit = 100,
) -> Response:
    """Read a stream in order, by pages of `limit` events or 4 MB. 404 if there is no such stream."""
    with pool.connection(settings_of(request)) as connection:
        page = page_of_stream(connection, aggregate_type, aggregate_id, after_version=after_version, max_count=limit)
    if page.version is None and not after_version:
        raise NotFound(f"there is no stream {aggregate_type}/{aggregate_id}")
    rest = {
        "aggregate_type": aggregate_type,
        "aggregate_id": aggregate_id,
        "next": page.version if page.more else None,
    }
    return spliced("events", page.events, rest)


def _new_events(request: Request, given: list[NewEventIn]) -> list[NewEvent]:
    ids = ids_of(request)
    defaults = {"correlation_id": ids.correlation_id, "causation_id": ids.request_id, "occurred_at": datetime.now(UTC)}
    fixed = {"actor": caller_of(request).name, "source": "api"}
    return [
        NewEvent(
            each.event_type,
            each.payload,
            {**defaults, **_said(each.metadata), **fixed},
            each.id or uuid7(),
            each.schema_version,
        )
        for each in given
    ]


def _said(metadata: EventMetadata | None) -> Mapping[str, Any]:
    if metadata is None:
        return {}
    fields = {name: getattr(metadata, name) for name in EventMetadata.model_fields}
    return (metadata.model_extra or {}) | {name: value for name, value in fields.items() if value is not None}


def _appended(aggregate_id: str, events: list[NewEvent], appended: Appended) -> dict[str, Any]:
    first = appended.version - len(events) + 1
    return {
        "aggregate_id": aggregate_id,
        "version": appended.version,
        "position": appended.position,
        "duplicate": appended.duplicate,
        "events": [
            {"id": event.id, "version": version, "position": position}
            for version, (event, position) in enumerate(zip(events, appended.positions, strict=True), start=first)
        ],
    }
