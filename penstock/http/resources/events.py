"""The whole store, in order."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from penstock.event_store.pages import page_of_store
from penstock.http.parameters import Answer, Limit, Position, RecordedEventOut
from penstock.http.routing import requires, router, settings_of, spliced
from penstock.postgres import pool

routes = router()

_EventType = Annotated[str, Field(min_length=1, max_length=200)]


class EventsOut(Answer):
    events: list[RecordedEventOut]
    next: int = Field(description="`after` of the next page: the last event's position, or the `after` of this call.")
    more: bool = Field(description="There are more events now: read on.")


@routes.get("/v1/events", responses={200: {"model": EventsOut}}, openapi_extra=requires("read"))
def read_store(
    request: Request,
    after: Position = 0,
    limit: Limit = 100,
    event_type: Annotated[
        list[_EventType] | None, Query(max_length=100, description="Only events of these types; may be repeated.")
    ] = None,
) -> Response:
    """Read all events in order of position. A page never skips an event that is still being committed.

    A page ends at `limit` events or at 4 MB, whichever comes first. Where `more` is false is the present end: ask again
    with `next` for what comes later.
    """
    with pool.connection(settings_of(request)) as connection:
        page = page_of_store(connection, after=after, max_count=limit, event_types=event_type)
    following = after if page.position is None else page.position
    return spliced("events", page.events, {"next": following, "more": page.more})
