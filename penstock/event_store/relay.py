"""The relay: the subscription `inngest`, which tells the outside what was appended.

For each range of positions one `penstock/events.appended`, and one `event/<EventType>` for each event of a type that
somebody listens to, its id the stored event's. Then the checkpoint moves: at least once, with stable ids. Two relays
at once take turns on the checkpoint's row. Knows no Inngest: `send` is given, and raises if the events did not arrive
(`InvalidInput` if they never will: then they are sent one by one, and the one at fault becomes a dead letter).
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, TypeAlias

import psycopg
from psycopg.rows import class_row

from penstock import database
from penstock.database import Connection, translated
from penstock.errors import InvalidInput
from penstock.event_store.events import RecordedEvent
from penstock.event_store.streams import EVENT_COLUMNS
from penstock.event_store.subscriptions import lock_checkpoint, move_checkpoint, safe_position
from penstock.operations import dead_letters
from penstock.settings import Settings

SUBSCRIPTION = "inngest"
APPENDED = "penstock/events.appended"
EVENT_PREFIX = "event/"

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

    def size(self) -> int:
        """Bytes as JSON, separators included; raises `ValueError` for a number that JSON cannot hold."""
        whole = {"name": self.name, "id": self.id, "data": self.data, "ts": self.ts}
        return len(json.dumps(whole, ensure_ascii=False, allow_nan=False).encode())


Send: TypeAlias = Callable[[Sequence[OutgoingEvent]], None]


@dataclass(frozen=True, slots=True)
class Relayed:
    """What a relay told: stored events passed, events sent for listeners, and the position it reached."""

    events: int
    sent: int
    position: int


def relay(settings: Settings, send: Send, listened_types: Collection[str], *, seconds: float = 20.0) -> Relayed:
    """Tell `send` of everything up to the safe position, for about `seconds`.

    `listened_types` are event types, or prefixes that end with `*`. What `send` raises leaves the checkpoint where it
    was, so that the next relay sends the same again.
    """
    deadline = time.monotonic() + seconds
    events = sent = 0
    while True:
        with database.transaction(settings) as connection:
            done, caught_up = _relay_range(connection, send, _Listened.of(listened_types))
        events, sent = events + done.events, sent + done.sent
        if caught_up or time.monotonic() > deadline:
            return Relayed(events, sent, done.position)


def outgoing(event: RecordedEvent) -> OutgoingEvent:
    """The event for its listeners. One too large for Inngest goes without payload and metadata, `reference_only`."""
    whole = _outgoing(event, payload=event.payload, metadata=event.metadata, reference_only=False)
    return whole if _fits(whole) else _outgoing(event, payload=None, metadata=None, reference_only=True)


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


def _fits(event: OutgoingEvent) -> bool:
    try:
        return event.size() <= MAX_EVENT_BYTES
    except ValueError:  # a number beyond a double's range, appended by SQL: readers of JSON would choke on it
        return False


@dataclass(frozen=True, slots=True)
class _Listened:
    types: list[str]
    prefixes: list[str]

    @classmethod
    def of(cls, names: Collection[str]) -> "_Listened":
        prefixes = [name.removesuffix("*") for name in names if name.endswith("*")]
        return cls([name for name in names if not name.endswith("*")], prefixes)


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
select count(*), (array_agg(id order by position desc))[1], (array_agg(distinct event_type))[:{MAX_NAMED_TYPES}]
from public.event_store where position > %(after)s and position <= %(to)s
"""  # noqa: S608


def _relay_range(connection: Connection, send: Send, listened: _Listened) -> tuple[Relayed, bool]:
    after = lock_checkpoint(connection, SUBSCRIPTION)
    safe = safe_position(connection)
    if safe <= after:
        return Relayed(0, 0, after), True
    to = min(safe, after + MAX_POSITIONS)
    wanted = _read_listened(connection, after, to, listened)
    if len(wanted) == MAX_EVENTS_A_SEND:
        to = wanted[-1].position
    appended, count = _appended(connection, after, to)
    for chunk in _chunks([*appended, *map(outgoing, wanted)]):
        _send(connection, send, chunk)
    move_checkpoint(connection, SUBSCRIPTION, to)
    return Relayed(count, len(wanted), to), to == safe


def _read_listened(connection: Connection, after: int, to: int, listened: _Listened) -> list[RecordedEvent]:
    if not listened.types and not listened.prefixes:
        return []
    values = {"after": after, "to": to, "types": listened.types, "prefixes": listened.prefixes}
    with translated(), connection.cursor(row_factory=class_row(RecordedEvent)) as cursor:
        try:
            with connection.transaction():
                return cursor.execute(_UPCAST, values).fetchall()
        except (psycopg.DataError, psycopg.errors.RaiseException):
            # an upcaster refuses an event: one bad payload must not keep all others from their listeners
            return cursor.execute(_AS_STORED, values).fetchall()


def _appended(connection: Connection, after: int, to: int) -> tuple[list[OutgoingEvent], int]:
    """The one event for the range; none if it holds gaps alone. Its id is stable: the last stored event's."""
    with translated():
        row = connection.execute(_RANGE, {"after": after, "to": to}).fetchone()
    assert row is not None
    count, last_id, event_types = row
    if not count:
        return [], 0
    data = {"from": after + 1, "to": to, "count": count, "event_types": sorted(event_types)}
    return [OutgoingEvent(APPENDED, f"appended-{last_id}", data, int(time.time() * 1000))], count


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
