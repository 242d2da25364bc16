"""Append to a stream, and read it back. The rules live in SQL; this calls them."""

import struct
from collections.abc import Sequence
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow, class_row
from psycopg.types.json import Jsonb

from penstock import json_codec, lanes
from penstock.database import Connection, translated
from penstock.errors import InvalidInput
from penstock.event_store.events import (
    Appended,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    expected_version_code,
)

MAX_PAGE = 1000
_CURSOR = "penstock_append_cursor"

# As one value, not as a row of `from`, which costs the server a fifth of the call: so its fields are taken apart here.
_APPEND_ONE = "select public.append_event(%s, %s, %s, %s, %s, %s, %s, %s)"
_APPENDED = struct.Struct(">4x8xi8xq8x?")
_APPEND_ON_THE_LOOP = lanes.Statement(
    "penstock_append",
    "select public.append_event($1::text, $2::text, $3::int, $4::uuid, $5::text, $6::jsonb, $7::jsonb, $8::int)",
)
_INT = struct.Struct(">i")
_JSONB = b"\x01"  # the version of its binary form, which is text
# Arrays in binary: as text each element would be escaped in Python, five times the work of all the rest.
_APPEND_MANY = "select * from public.append_events(%s, %s, %s, %b, %b::text[], %b::jsonb[], %b::jsonb[], %b::int[])"
EVENT_COLUMNS = (
    "position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version, created_at"
)
_READ = f"select {EVENT_COLUMNS} from public.read_stream(%s, %s, %s, %s)"  # noqa: S608


def append(
    connection: Connection,
    aggregate_type: str,
    aggregate_id: str,
    expected_version: ExpectedVersion,
    events: Sequence[NewEvent],
) -> Appended:
    """Append `events` to one stream, all or nothing.

    In a transaction of the caller's the append is part of it. Raises `VersionConflict` (with `expected` and `actual`),
    `EventIdReused` or `PartialRepeat`; a repeated call with the same ids answers as the first time.
    """
    code = expected_version_code(expected_version)
    if not events:
        raise InvalidInput("no events to append", field="events")
    # A cursor that stays with its connection: making one would cost a third of the work here. Out of its place while in
    # use, so that another thread on the same connection makes its own.
    cursor = vars(connection).pop(_CURSOR, None) or connection.cursor(binary=True)
    try:
        with translated():
            if len(events) == 1:
                values = _values(events[0])
                (answer,) = _row(cursor.execute(_APPEND_ONE, (aggregate_type, aggregate_id, code, *values)))
                return _appended(answer)
            columns = [list(column) for column in zip(*map(_elements, events), strict=True)]
            answer = _row(cursor.execute(_APPEND_MANY, (aggregate_type, aggregate_id, code, *columns)))
            version, positions, duplicate = answer
            return Appended(version, tuple(positions), duplicate)
    finally:
        vars(connection)[_CURSOR] = cursor


async def append_one(
    database_url: str, aggregate_type: str, aggregate_id: str, expected_version: ExpectedVersion, event: NewEvent
) -> Appended:
    """`append` of one event from an event loop, in a transaction of its own, with the same answers and errors.

    `DatabaseUnavailable` also if the connection broke after it was sent: repeat it with the same id.
    """
    id, event_type, payload, metadata, schema_version = _values(event)
    values = (
        aggregate_type.encode(),
        aggregate_id.encode(),
        _INT.pack(expected_version_code(expected_version)),
        id.bytes,
        event_type.encode(),
        _JSONB + payload.encode(),
        _JSONB + metadata.encode(),
        _INT.pack(schema_version),
    )
    return _appended(await lanes.ask(database_url, _APPEND_ON_THE_LOOP, values))


def read_stream(
    connection: Connection,
    aggregate_type: str,
    aggregate_id: str,
    *,
    after_version: int = 0,
    limit: int = MAX_PAGE,
) -> list[RecordedEvent]:
    """Events of one stream in order, those after `after_version`, at most `limit`. Empty if there is none."""
    with translated(), connection.cursor(binary=True, row_factory=class_row(RecordedEvent)) as cursor:
        return cursor.execute(_READ, (aggregate_type, aggregate_id, after_version, limit)).fetchall()


def _row(cursor: Cursor[TupleRow]) -> TupleRow:
    row = cursor.fetchone()
    assert row is not None
    return row


def _appended(answer: bytes) -> Appended:
    version, position, duplicate = _APPENDED.unpack(answer)
    return Appended(version, (position,), duplicate)


def _values(event: NewEvent) -> tuple[UUID, str, str, str, int]:
    payload, metadata = json_codec.dumps(event.payload), json_codec.dumps(event.metadata)
    return event.id, event.event_type, payload, metadata, event.schema_version


def _elements(event: NewEvent) -> tuple[object, ...]:
    """The same for arrays, whose elements must say that they are jsonb."""
    return (
        event.id,
        event.event_type,
        Jsonb(event.payload, dumps=json_codec.dumps),
        Jsonb(event.metadata, dumps=json_codec.dumps),
        event.schema_version,
    )
