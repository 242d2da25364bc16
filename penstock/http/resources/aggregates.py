"""An aggregate's state, now or then."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import Field

from penstock.errors import NotFound
from penstock.event_store import load_any
from penstock.http.parameters import AggregateId, AggregateType, Answer
from penstock.http.routing import Json, requires, router, settings_of
from penstock.postgres import pool
from penstock.types import Time

routes = router()


class AggregateOut(Answer):
    aggregate_type: str
    aggregate_id: str
    version: int
    position: int
    updated_at: str = Field(description="When the last event that is in the state was stored.")
    fold: str = Field(
        description="Who made the state, by name. `merged`: no domain knows this aggregate type; `state` is how many "
        "events there are, the type of the last, and as `data` their payloads merged, later keys over earlier ones."
    )
    state: dict[str, Any]


@routes.get(
    "/v1/aggregates/{aggregate_type}/{aggregate_id:path}",
    responses={200: {"model": AggregateOut}},
    openapi_extra=requires("read"),
)
def read_aggregate(
    request: Request,
    aggregate_type: AggregateType,
    aggregate_id: AggregateId,
    at_version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="As it was at this version.")] = None,
    at: Annotated[Time | None, Query(description="As the store knew it at this time (RFC 3339).")] = None,
) -> Json:
    """Fold an aggregate's events into its state. 404 if it had no event then."""
    when: datetime | None = at
    with pool.connection(settings_of(request)) as connection:
        loaded, fold = load_any(connection, aggregate_type, aggregate_id, at_version=at_version, at=when)
    if not loaded.version:
        raise NotFound(f"there is no {aggregate_type} {aggregate_id}{' at that time' if when else ''}")
    return Json(
        {
            "aggregate_type": aggregate_type,
            "aggregate_id": aggregate_id,
            "version": loaded.version,
            "position": loaded.position,
            "updated_at": loaded.stored_at,
            "fold": fold,
            "state": loaded.state,
        }
    )
