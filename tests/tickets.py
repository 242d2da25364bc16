"""A small domain for tests of the package: tickets that are opened and closed, with all that a domain can have.

Its tables are in `tests/tickets.sql`, applied beside the package's migrations; no migration of the sample domain is
needed.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import pydantic
from fastapi import Path, Request

from penstock.domain import Domain
from penstock.errors import NotFound
from penstock.event_store import NewEvent, RecordedEvent, append, read_checkpoint
from penstock.http.background import relay_after
from penstock.http.parameters import Answer, WaitFor
from penstock.http.read_your_writes import read_when_ready
from penstock.http.routing import Json, requires, router, settings_of
from penstock.ingest.files.compensation import Compensation, TakenBack
from penstock.ingest.files.parse.types import Identifier as IdentifierField
from penstock.ingest.files.parse.types import Integer, Number, Timestamp
from penstock.ingest.files.parse.types import Text as TextField
from penstock.ingest.files.target import MOMENT, EventMapping, Field, Target
from penstock.inngest import standard
from penstock.inngest.projection_function import projection_function
from penstock.payloads import EventSchema, Payload
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.projections import payload_sql
from penstock.projections.projection import SqlProjection
from penstock.types import MAX_INTEGER, Identifier, Money, OccurredAt, Text
from penstock.views import Key, View


class Line(Payload):
    part: Identifier
    quantity: Annotated[pydantic.StrictInt, pydantic.Field(ge=1, le=MAX_INTEGER)]
    price: Money


class TicketOpened(Payload):
    ticket_id: Identifier
    title: Text | None = None
    opened_at: OccurredAt
    lines: tuple[Line, ...] = ()


class TicketClosed(Payload):
    reason: Text | None = None


class TicketWithdrawn(Payload):
    ticket_id: Identifier


def _withdraw(before: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> TakenBack | None:
    return None if before else TakenBack([NewEvent("TicketWithdrawn", {"ticket_id": own[0].aggregate_id})])


_PROJECT = f"""
with read as materialized (
  select
    e.aggregate_id as ticket_id, e.position, e.event_type, nullif(e.payload ->> 'title', '') as title,
    (
      select coalesce(sum((line.value ->> 'quantity')::integer * (line.value ->> 'price')::numeric), 0)
      from {payload_sql.elements("e.payload -> 'lines'")} as line
    ) as total,
    coalesce({payload_sql.time("(e.payload ->> 'opened_at')")}, {payload_sql.OCCURRED_AT}, e.created_at) as at
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'ticket' and e.event_type in ('TicketOpened', 'TicketClosed')
),
closed as (
  update tickets as t set status = 'closed', position = r.position
  from read as r
  where r.event_type = 'TicketClosed' and t.ticket_id = r.ticket_id
),
opened as (
  insert into tickets as t (ticket_id, title, total, status, opened_at, position)
  select distinct on (r.ticket_id) r.ticket_id, r.title, r.total,
    case when exists (select from read as c where c.ticket_id = r.ticket_id and c.event_type = 'TicketClosed')
      then 'closed' else 'open' end,
    r.at, r.position
  from read as r
  where r.event_type = 'TicketOpened'
  order by r.ticket_id, r.position
  on conflict (ticket_id) do nothing
)
select {payload_sql.all_read("read", "total", "at")}
"""

PROJECTION = SqlProjection(
    "tickets", tables=("desk.tickets",), event_types=("TicketOpened", "TicketClosed"), statements=(_PROJECT,)
)

# Lines of one ticket may be spread over the file.
_SELECT = """
select
  min(r.ord) as first_ord, count(*) as lines, 'ticket' as aggregate_type, r.ticket_id as aggregate_id,
  null::uuid as id, 'TicketOpened' as event_type, array['TicketClosed'] as more,
  null::jsonb[] as more_details, 1 as schema_version, min(r.opened_at) as occurred_at, null::jsonb as metadata,
  jsonb_build_object(
    'ticket_id', r.ticket_id, 'title', min(r.title), 'opened_at', <moment>,
    'lines', jsonb_agg(
      jsonb_build_object('part', r.part, 'quantity', r.quantity, 'price', r.price::text) order by r.ord
    )
  ) as payload
from {rows} as r
group by r.ticket_id
""".replace("<moment>", MOMENT.replace("<at>", "min(r.opened_at)"))

TARGET = Target(
    "tickets",
    fields=(
        Field("ticket_id", IdentifierField(), True, ("ticket", "id")),
        Field("part", IdentifierField(), True, ("product",)),
        Field("title", TextField(), False, ("subject",)),
        Field("quantity", Integer(1, 1_000_000_000), True, ("qty", "pieces")),
        Field("opened_at", Timestamp(of_event=True), True, ("created_at", "date")),
        Field("price", Number(positive=True), True, ("each",)),
    ),
    into=EventMapping(_SELECT, repeat="stream", by="ticket_id", removed=("TicketWithdrawn",), holds="ticket"),
)

VIEWS = (
    View("tickets_by_status", "materialized", (Key("status", "text"),)),
    View("ticket_days", "table", (Key("day", "date"),), fresh_by="select max(computed_at) from public.ticket_days"),
)

routes = router()
TicketId = Annotated[str, Path(min_length=1, max_length=200)]


class TicketAnswer(Answer):
    """Pass `position` as `wait_for` to read what this command did."""

    ticket_id: str
    position: int


class TicketOut(Answer):
    ticket_id: str
    title: str | None
    total: str
    status: str
    position: int


class OpenTicket(Payload):
    ticket_id: Identifier
    title: Text | None = None
    lines: tuple[Line, ...] = ()


@routes.post("/v1/tickets", status_code=201, responses={201: {"model": TicketAnswer}}, openapi_extra=requires("write"))
def open_ticket(request: Request, body: OpenTicket) -> Json:
    """Open a ticket."""
    opened = TicketOpened(ticket_id=body.ticket_id, title=body.title, lines=body.lines, opened_at=datetime.now(UTC))
    with pool.connection(settings_of(request)) as connection:
        event = NewEvent("TicketOpened", opened.as_json())
        done = append(connection, "ticket", body.ticket_id, "no_stream", [event])
    return relay_after(request, Json({"ticket_id": body.ticket_id, "position": done.position}, 201))


@routes.get("/v1/tickets/{ticket_id:path}", responses={200: {"model": TicketOut}}, openapi_extra=requires("read"))
async def read_ticket_model(request: Request, ticket_id: TicketId, wait_for: WaitFor = None) -> Json:
    """Read a ticket from the read model."""
    return Json(await read_when_ready(request, "tickets", wait_for, lambda found: read_ticket(found, ticket_id)))


def read_ticket(connection: Connection, ticket_id: str) -> dict[str, Any]:
    position = read_checkpoint(connection, "tickets")
    query = "select t.title, t.total::text, t.status from desk.tickets as t where t.ticket_id = %s"
    row = connection.execute(query, (ticket_id,)).fetchone()
    if row is None:
        raise NotFound(f"no ticket {ticket_id}", ticket_id=ticket_id, position=position)
    return {"ticket_id": ticket_id, **dict(zip(("title", "total", "status"), row, strict=True)), "position": position}


EVENTS = (
    EventSchema(TicketOpened, "ticket", "ticket_id", time_field="opened_at"),
    EventSchema(TicketClosed, "ticket", "ticket_id"),
    EventSchema(TicketWithdrawn, "ticket", "ticket_id"),
)
FUNCTIONS = (*standard.FUNCTIONS, projection_function("tickets"))
COMPENSATION = Compensation("ticket", _withdraw, alone=frozenset({"TicketOpened", "TicketClosed"}))

DOMAIN = Domain(
    "tickets",
    events=EVENTS,
    projections=(PROJECTION,),
    targets=(TARGET,),
    compensations=(COMPENSATION,),
    views=VIEWS,
    routes=(routes,),
    tables=("public.ticket_days",),
)
