"""Append to a stream, and read it back. The rules live in SQL; this calls them."""

import struct
from collections.abc import Sequence

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.event_store.events import (
    Appended,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    encodable,
    expected_version_code,
)
from penstock.postgres import append_pool
from penstock.postgres.pool import Connection
from penstock.postgres.prepared import Statement, fetch_value, in_autocommit
from penstock.postgres.sqlstates import translate_errors

MAX_PAGE = 1000

# As one value, not as a row of `from`, which costs the server a fifth of the call: so its fields are taken apart here.
_APPEND_ONE = Statement(
    "penstock_append",
    "select public.append_event($1::text, $2::text, $3::int, $4::uuid, $5::text, $6::jsonb, $7::jsonb, $8::int)",
)
_APPENDED = struct.Struct(">4x8xi8xq8x?")
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
    with translate_errors(), encodable():
        if len(events) == 1 and in_autocommit(connection):
            return _appended(
                fetch_value(connection, _APPEND_ONE, _values(aggregate_type, aggregate_id, code, events[0]))
            )
        columns = [list(column) for column in zip(*map(_elements, events), strict=True)]
        cursor = connection.cursor(binary=True)
        row = cursor.execute(_APPEND_MANY, (aggregate_type, aggregate_id, code, *columns)).fetchone()
        assert row is not None
        version, positions, duplicate = row
        return Appended(version, tuple(positions), duplicate)


async def append_one(
    database_url: str, aggregate_type: str, aggregate_id: str, expected_version: ExpectedVersion, event: NewEvent
) -> Appended:
    """`append` of one event from an event loop, in a transaction of its own, with the same answers and errors.

    `DatabaseUnavailable` also if the connection broke after it was sent: repeat it with the same id.
    """
    with encodable():
        values = _values(aggregate_type, aggregate_id, expected_version_code(expected_version), event)
    return _appended(await append_pool.fetch_value(database_url, _APPEND_ONE, values))


def read_stream(
    connection: Connection,
    aggregate_type: str,
    aggregate_id: str,
    *,
    after_version: int = 0,
    max_count: int = MAX_PAGE,
) -> list[RecordedEvent]:
    """Events of one stream in order, those after `after_version`, at most `max_count`. Empty if there is none."""
    with translate_errors(), connection.cursor(binary=True, row_factory=class_row(RecordedEvent)) as cursor:
        return cursor.execute(_READ, (aggregate_type, aggregate_id, after_version, max_count)).fetchall()


def _values(aggregate_type: str, aggregate_id: str, code: int, event: NewEvent) -> tuple[bytes, ...]:
    return (
        aggregate_type.encode(),
        aggregate_id.encode(),
        _INT.pack(code),
        event.id.bytes,
        event.event_type.encode(),
        _JSONB + json_codec.dumps(event.payload).encode(),
        _JSONB + json_codec.dumps(event.metadata).encode(),
        _INT.pack(event.schema_version),
    )


def _appended(answer: bytes) -> Appended:
    version, position, duplicate = _APPENDED.unpack(answer)
    return Appended(version, (position,), duplicate)


def _elements(event: NewEvent) -> tuple[object, ...]:
    """For arrays, whose elements must say that they are jsonb."""
    return (
        event.id,
        event.event_type,
        Jsonb(event.payload, dumps=json_codec.dumps),
        Jsonb(event.metadata, dumps=json_codec.dumps),
        event.schema_version,
    )
