"""How each kind of dead letter is run again, by the command line and over HTTP. The caller hands in the sender.

An event that a projection could not read is not applied out of its order: the projection is rebuilt, which reads it
in its place. A run is started again by its event, a delivery goes back into the inbox.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from penstock import projections
from penstock.errors import AlreadyResolved, Conflict
from penstock.event_store import read_events
from penstock.event_store.events import uuid7
from penstock.ingest import webhooks
from penstock.pipelines import dead_letters
from penstock.pipelines.dead_letters import DeadLetter
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.relay.outbox import SUBSCRIPTION, OutgoingEvent, Send, outgoing
from penstock.settings import Settings


def retry_letter(settings: Settings, letter_id: UUID, send: Send) -> str:
    """Run it again and say what came of it.

    Raises `NotFound`, `AlreadyResolved`, `Conflict` if it failed again, and what `send` raises.
    """
    letter = _find(settings, letter_id)
    if letter.kind == "event" and letter.source != SUBSCRIPTION:
        return _rebuild(settings, letter)

    def send_again(connection: Connection, letter: DeadLetter) -> None:
        send(_events_of(connection, letter))

    def put_back(connection: Connection, letter: DeadLetter) -> None:
        webhooks.retry_delivery(connection, letter.source, str(letter.reference))

    dead_letters.retry(settings, letter_id, {"event": send_again, "run": send_again, "delivery": put_back})
    if letter.kind == "delivery":
        webhooks.append_deliveries(settings)
        return "delivery worked again"
    return "sent to Inngest again"


def _find(settings: Settings, letter_id: UUID) -> DeadLetter:
    with pool.connection(settings) as connection:
        return dead_letters.find_dead_letter(connection, letter_id)


def _rebuild(settings: Settings, letter: DeadLetter) -> str:
    if letter.resolution is not None:
        raise AlreadyResolved(f"the dead letter {letter.id} was {letter.resolution} already")
    projections.rebuild(settings, letter.source)
    if _find(settings, letter.id).resolution is None:
        raise Conflict(f"{letter.source} still cannot read the event at position {letter.reference}: {letter.reason}")
    return f"{letter.source} rebuilt"


def _events_of(connection: Connection, letter: DeadLetter) -> list[OutgoingEvent]:
    """A stored event with its own id; a run's events with new ones, or Inngest would take them for repetitions."""
    if letter.kind == "event" and (letter.reference or "").isdigit():
        return [outgoing(event) for event in read_events(connection, after=int(letter.reference or 0) - 1, max_count=1)]
    wanted = letter.payload.get("events") or []
    if letter.kind == "event" or not wanted or not all(event.get("name") for event in wanted):
        raise Conflict(f"what failed in {letter.source} was started by no event that could be sent again")
    return [_renewed(event) for event in wanted]


def _renewed(event: Mapping[str, Any]) -> OutgoingEvent:
    event_id = uuid7()
    return OutgoingEvent(event["name"], str(event_id), event.get("data") or {}, event_id.int >> 80)
