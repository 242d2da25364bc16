"""Dead letters: what failed for good, to be listed, run again or given up."""

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Path, Query, Request
from pydantic import Field

from penstock.http.background import relay_after, sender
from penstock.http.parameters import Answer, Limit
from penstock.http.routing import Json, plain, requires, router, settings_of
from penstock.operations.dead_letter_retries import retry_letter
from penstock.pipelines import dead_letters
from penstock.pipelines.dead_letters import Kind, Resolution
from penstock.postgres import pool

routes = router()

LetterId = Annotated[UUID, Path(description="As listed.")]


class DeadLetterOut(Answer):
    id: str
    kind: Kind
    source: str = Field(description="The projection, the Inngest function, or the source of the webhook.")
    reference: str | None = Field(description="The event's position, the run's id, or the delivery's id.")
    reason: str
    payload: dict[str, Any]
    attempts: int
    created_at: str
    resolved_at: str | None
    resolution: Resolution | None


class DeadLettersOut(Answer):
    dead_letters: list[DeadLetterOut]
    next: str | None = Field(description="`after` of the next page; null at the end.")


class RetriedOut(Answer):
    id: str
    resolution: Literal["retried"]
    outcome: str = Field(examples=["sent to Inngest again", "orders rebuilt", "delivery worked again"])


class DroppedOut(Answer):
    id: str
    resolution: Literal["dropped"]


@routes.get("/v1/dead-letters", responses={200: {"model": DeadLettersOut}}, openapi_extra=requires("admin"))
def read_dead_letters(
    request: Request,
    resolved: Annotated[
        bool, Query(description="Those that were retried or dropped, instead of the open ones.")
    ] = False,
    kind: Kind | None = None,
    source: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    after: Annotated[UUID | None, Query(description="`next` of the page before.")] = None,
    limit: Limit = 50,
) -> Json:
    """What failed for good, the latest first."""
    with pool.connection(settings_of(request)) as connection:
        letters, more = dead_letters.page_of_dead_letters(
            connection, resolved=resolved, kind=kind, source=source, after=after, limit=limit
        )
    return Json({"dead_letters": [plain(letter) for letter in letters], "next": letters[-1].id if more else None})


@routes.post(
    "/v1/dead-letters/{letter_id}/retry", responses={200: {"model": RetriedOut}}, openapi_extra=requires("admin")
)
def retry_dead_letter(request: Request, letter_id: LetterId) -> Json:
    """Run a dead letter again: rebuild the projection that could not read an event, send a run's events again, or put a
    delivery back into the inbox. 409 if it fails again or was retried or dropped before.
    """
    outcome = retry_letter(settings_of(request), letter_id, sender(request))
    return relay_after(request, Json({"id": letter_id, "resolution": "retried", "outcome": outcome}))


@routes.delete("/v1/dead-letters/{letter_id}", responses={200: {"model": DroppedOut}}, openapi_extra=requires("admin"))
def drop_dead_letter(request: Request, letter_id: LetterId) -> Json:
    """Give a dead letter up. It is kept as `dropped` until the daily purge. 409 if it is resolved already."""
    dead_letters.drop(settings_of(request), letter_id)
    return Json({"id": letter_id, "resolution": "dropped"})
