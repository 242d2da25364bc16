"""The whole store, in order."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import Field

from app.parameters import Answer, Limit, Position, RecordedEventOut
from app.routing import Json, needs, plain, router, settings_of
from penstock import database
from penstock.event_store import read_events

routes = router()

_EventType = Annotated[str, Field(min_length=1, max_length=200)]


class EventsOut(Answer):
    events: list[RecordedEventOut]
    next: int = Field(description="`after` of the next page: the last event's position, or the `after` of this call.")


@routes.get("/v1/events", responses={200: {"model": EventsOut}}, openapi_extra=needs("read"))
def read_store(
    request: Request,
    after: Position = 0,
    limit: Limit = 100,
    event_type: Annotated[
        list[_EventType] | None, Query(max_length=100, description="Only events of these types; may be repeated.")
    ] = None,
) -> Json:
    """Read all events in order of position. A page never skips an event that is still being committed.

    A page with fewer than `limit` events is the present end: ask again with `next` for what comes later.
    """
    with database.connection(settings_of(request)) as connection:
        events = read_events(connection, after=after, limit=limit, event_types=event_type)
    return Json({"events": [plain(event) for event in events], "next": events[-1].position if events else after})
