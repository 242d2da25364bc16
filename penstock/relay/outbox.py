"""The relay: the subscription `inngest`, which publishes what was appended.

For each range of positions one `penstock/events.appended`, one `penstock/projections.behind` with the projections whose
types are in the range, if there are any, and one `event/<EventType>` for each event of a type that somebody listens to,
its id the stored event's. Then the checkpoint moves: at least once, with stable ids. Two relays
at once take turns on the checkpoint's row. A type that nobody listened to before is published from the first event on,
beside the new ones, in portions. Knows no Inngest: `send` is given, and raises if the events did not arrive
(`InvalidInput` if they never will: then they are sent one by one, and the one at fault becomes a dead letter).
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from types import MappingProxyType
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import class_row

from penstock.errors import InvalidInput
from penstock.event_store.events import RecordedEvent
from penstock.event_store.streams import EVENT_COLUMNS
from penstock.event_store.subscriptions import high_water_mark, lock_checkpoint, move_checkpoint
from penstock.pipelines import dead_letters
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.relay.event_names import APPENDED, EVENT_PREFIX, PROJECTIONS_BEHIND
from penstock.relay.listening import Listened, move_listening, move_listening_back, read_listening
from penstock.settings import Settings

SUBSCRIPTION = "inngest"

MAX_POSITIONS = 100_000
MAX_EVENTS_A_SEND = 1_000
MAX_BYTES_A_SEND = 4_000_000
# Inngest's free plan takes events of 256 KiB; the rest is for what the transport adds.
MAX_EVENT_BYTES = 255 * 1024
MAX_NAMED_TYPES = 100


@dataclass(frozen=True, slots=True)
class OutgoingEvent:
    """What `send` gets: an event in Inngest's sense, its `data` plain JSON."""

    name: str
    id: str
    data: dict[str, Any]
    ts: int

    @classmethod
    def of(cls, name: str, id: str, data: Mapping[str, Any]) -> "OutgoingEvent":
        """An event of now."""
        return cls(name, id, dict(data), int(time.time() * 1000))

    def size(self) -> int:
        """Bytes as JSON, separators included."""
        whole = {"name": self.name, "id": self.id, "data": self.data, "ts": self.ts}
        return len(json.dumps(whole, ensure_ascii=False, allow_nan=False).encode())


Send: TypeAlias = Callable[[Sequence[OutgoingEvent]], None]
Projected: TypeAlias = Mapping[str, Collection[str]]
"""The event types of each projection."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """What a relay published: stored events passed, events sent for listeners, and the position it reached.

    Not `caught_up`: its time was over before everything was published.
    """

    events: int
    sent: int
    position: int
    caught_up: bool = True


def relay(
    settings: Settings,
    send: Send,
    listened_types: Collection[str],
    projected: Projected = MappingProxyType({}),
    *,
    seconds: float = 20.0,
) -> Relayed:
    """Give `send` everything up to the high-water mark, for about `seconds`.

    `listened_types` are event types, or prefixes that end with `*`. What `send` raises leaves the checkpoint where it
    was, so that the next relay sends the same again.
    """
    deadline = time.monotonic() + seconds
    names = frozenset(listened_types)
    events = sent = 0
    while True:
        with pool.transaction(settings) as connection:
            done, behind = _relay_range(connection, send, names, projected)
        events, sent = events + done.events, sent + done.sent
        if behind:
            with pool.transaction(settings) as connection:
                missed, behind = _publish_the_past(connection, send, names)
            sent += missed
        caught_up = done.caught_up and not behind
        if caught_up or time.monotonic() > deadline:
            return Relayed(events, sent, done.position, caught_up)


def go_back(settings: Settings, position: int) -> None:
    """Have the next relay publish everything after `position` again; one that is not there yet stays where it is."""
    with pool.transaction(settings) as connection:
        if position < lock_checkpoint(connection, SUBSCRIPTION):
            move_checkpoint(connection, SUBSCRIPTION, position)
            move_listening_back(connection, position)


def outgoing(event: RecordedEvent) -> OutgoingEvent:
    """The event for its listeners. One too large for Inngest goes without payload and metadata, `reference_only`."""
    whole = _outgoing(event, payload=event.payload, metadata=event.metadata, reference_only=False)
    fits = whole.size() <= MAX_EVENT_BYTES
    return whole if fits else _outgoing(event, payload=None, metadata=None, reference_only=True)


def _outgoing(event: RecordedEvent, **contents: object) -> OutgoingEvent:
    place = {
        "event_id": str(event.id),
        "event_type": event.event_type,
        "aggregate_type": event.aggregate_type,
        "aggregate_id": event.aggregate_id,
        "version": event.version,
        "position": event.position,
        "schema_version": event.schema_version,
        "created_at": event.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
    }
    milliseconds = int(event.created_at.timestamp() * 1000)
    return OutgoingEvent(EVENT_PREFIX + event.event_type, str(event.id), {**place, **contents}, milliseconds)


_LISTENED = f"""
select {EVENT_COLUMNS} from {{source}} as e
where e.position > %(after)s and e.position <= %(to)s and (
  e.event_type = any(%(types)s)
  or exists (select from unnest(%(prefixes)s::text[]) as p (prefix) where starts_with(e.event_type, p.prefix))
)
order by e.position limit {MAX_EVENTS_A_SEND}
"""  # noqa: S608 - constants of this module
_UPCAST = _LISTENED.format(source="public.current_events")
_AS_STORED = _LISTENED.format(source="public.event_store")
_RANGE = f"""
select count(*), (array_agg(id order by position desc))[1], (array_agg(distinct event_type))[:{MAX_NAMED_TYPES}],
  array_agg(distinct event_type) filter (where event_type = any(%(projected)s))
from public.event_store where position > %(after)s and position <= %(to)s
"""  # noqa: S608


def _relay_range(
    connection: Connection, send: Send, names: Collection[str], projected: Projected
) -> tuple[Relayed, bool]:
    """Publish the next range, and say whether some type is behind it."""
    after = lock_checkpoint(connection, SUBSCRIPTION)
    listening = read_listening(connection, names, after)
    safe = high_water_mark(connection)
    if safe <= after:
        return Relayed(0, 0, after), bool(listening.behind)
    to = min(safe, after + MAX_POSITIONS)
    wanted = _read_listened(connection, after, to, listening.current)
    if len(wanted) == MAX_EVENTS_A_SEND:
        to = wanted[-1].position
    appended, count = _appended(connection, after, to, projected)
    for chunk in _chunks([*appended, *map(outgoing, wanted)]):
        _send(connection, send, chunk)
    move_checkpoint(connection, SUBSCRIPTION, to)
    return Relayed(count, len(wanted), to, to == safe), bool(listening.behind)


def _publish_the_past(connection: Connection, send: Send, names: Collection[str]) -> tuple[int, bool]:
    """A portion of what one type that is behind has missed: the events sent, and whether more is left."""
    position = lock_checkpoint(connection, SUBSCRIPTION)
    listening = read_listening(connection, names, position)
    if not listening.behind:
        return 0, False
    name, after = min(listening.behind.items())
    to = min(position, after + MAX_POSITIONS)
    found = _read_listened(connection, after, to, Listened.of([name]))
    if len(found) == MAX_EVENTS_A_SEND:
        to = found[-1].position
    # a prefix may be new where a type that it covers is not
    missed = [outgoing(event) for event in found if event.event_type not in listening.current]
    for chunk in _chunks(missed):
        _send(connection, send, chunk)
    move_listening(connection, name, None if to >= position else to)
    return len(missed), to < position or len(listening.behind) > 1


def _read_listened(connection: Connection, after: int, to: int, listened: Listened) -> list[RecordedEvent]:
    if not listened.types and not listened.prefixes:
        return []
    values = {"after": after, "to": to, "types": listened.types, "prefixes": listened.prefixes}
    with translate_errors(), connection.cursor(row_factory=class_row(RecordedEvent)) as cursor:
        try:
            with connection.transaction():
                return cursor.execute(_UPCAST, values).fetchall()
        except (psycopg.DataError, psycopg.errors.RaiseException):
            # an upcaster refuses an event: one bad payload must not keep all others from their listeners
            return cursor.execute(_AS_STORED, values).fetchall()


def _appended(connection: Connection, after: int, to: int, projected: Projected) -> tuple[list[OutgoingEvent], int]:
    """The events for the range as a whole; none if it holds gaps alone. Their ids are stable: the last stored event's.

    Which projections are behind is decided here and not by their triggers: those that hear of an event that they do
    not fold would each be a run that finds nothing.
    """
    types = sorted({event_type for of_one in projected.values() for event_type in of_one})
    with translate_errors():
        row = connection.execute(_RANGE, {"after": after, "to": to, "projected": types}).fetchone()
    assert row is not None
    count, last_id, event_types, folded = row
    if not count:
        return [], 0
    place = {"from": after + 1, "to": to}
    found = {**place, "count": count, "event_types": sorted(event_types)}
    events = [OutgoingEvent.of(APPENDED, f"appended-{last_id}", found)]
    if behind := sorted(name for name, of_one in projected.items() if not set(of_one).isdisjoint(folded or ())):
        events.append(OutgoingEvent.of(PROJECTIONS_BEHIND, f"behind-{last_id}", {**place, "projections": behind}))
    return events, count


def _chunks(events: Sequence[OutgoingEvent]) -> Iterator[list[OutgoingEvent]]:
    chunk: list[OutgoingEvent] = []
    size = 0
    for event in events:
        own = event.size()
        if chunk and size + own > MAX_BYTES_A_SEND:
            yield chunk
            chunk, size = [], 0
        chunk.append(event)
        size += own
    if chunk:
        yield chunk


def _send(connection: Connection, send: Send, events: list[OutgoingEvent]) -> None:
    try:
        send(events)
    except InvalidInput as error:
        if len(events) == 1:
            _park(connection, events[0], error)
            return
        for event in events:
            _send(connection, send, [event])


def _park(connection: Connection, event: OutgoingEvent, error: InvalidInput) -> None:
    place = {key: value for key, value in event.data.items() if key not in ("payload", "metadata")}
    reference = str(event.data.get("position", event.id))
    dead_letters.park(connection, "event", SUBSCRIPTION, reference, str(error), {"name": event.name, **place})
