"""Append events of many streams in one transaction, at close to the speed of COPY.

The fast form moves the stream rows, reserves positions and COPYs straight into the store. What does not fit
(an id that is stored already, a version that differs, a role that may not insert) sends the same batch through
`staging.events`, where SQL skips what is stored and refuses what conflicts.
"""

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count, islice
from typing import NamedTuple
from uuid import uuid4

import psycopg

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.event_store.events import ExpectedVersion, NewEvent, encodable, expected_version_code
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

BATCH = 20_000
"""Events that are held in memory at once."""

Stream = tuple[str, str]


class StreamAppend(NamedTuple):
    """Events of one stream, and its version before the first of them. A plain tuple of the same does as well."""

    aggregate_type: str
    aggregate_id: str
    expected_version: ExpectedVersion
    events: Sequence[NewEvent]


@dataclass(frozen=True, slots=True)
class BulkAppended:
    """How many events were stored now and how many had been before; `last_position` is 0 if there was no event."""

    appended: int
    duplicates: int
    last_position: int

    def __add__(self, other: "BulkAppended") -> "BulkAppended":
        return BulkAppended(
            self.appended + other.appended,
            self.duplicates + other.duplicates,
            max(self.last_position, other.last_position),
        )


@dataclass(slots=True)
class _Batch:
    """Rows as columns: an object a row would keep the garbage collector busy for a sixth of the time."""

    streams: list[Stream]
    expected: list[int]
    events: list[NewEvent]


def append_bulk(
    connection: Connection,
    appends: Iterable[StreamAppend | tuple[str, str, ExpectedVersion, Sequence[NewEvent]]],
) -> BulkAppended:
    """Append all of `appends`, or nothing: in the caller's transaction, or in one of its own.

    Positions follow the order of the iterable, which may name a stream several times. An event that is stored already
    with the same content counts as a duplicate and is skipped, so a call may be repeated, in part or cut otherwise.
    Raises `VersionConflict`, `EventIdReused` or `InvalidInput`. Readers wait for the end of the transaction:
    keep it to seconds. Streams are locked in one order within 20,000 events: beyond, two calls on the same streams may
    deadlock, and one of them gets `Unavailable`.
    """
    total = BulkAppended(0, 0, 0)
    with translate_errors(), encodable(), connection.transaction():
        for batch in _batches(appends):
            total += _append_batch(connection, batch)
    return total


def _batches(
    appends: Iterable[StreamAppend | tuple[str, str, ExpectedVersion, Sequence[NewEvent]]],
) -> Iterator[_Batch]:
    batch = _Batch([], [], [])
    for aggregate_type, aggregate_id, expected_version, events in appends:
        stream = (aggregate_type, aggregate_id)
        expected = expected_version_code(expected_version)
        for event in events:
            _vet(event)
            batch.streams.append(stream)
            batch.expected.append(expected)
            batch.events.append(event)
            # what the first event expects fixes what the others find
            expected = expected + 1 if expected >= 0 else -1
            if len(batch.events) == BATCH:
                yield batch
                batch = _Batch([], [], [])
    if batch.events:
        yield batch


def _vet(event: NewEvent) -> None:
    """What `penstock.validate_event` refuses, since COPY does not ask it."""
    if not 1 <= len(event.event_type) <= 200:
        raise InvalidInput("has not 1 to 200 characters", field="event_type")
    if not isinstance(event.payload, dict):
        raise InvalidInput("must be a JSON object", field="payload")
    if not isinstance(event.metadata, dict):
        raise InvalidInput("must be a JSON object", field="metadata")
    if event.schema_version < 1:
        raise InvalidInput("is not at least 1", field="schema_version")


class _FastFormRefused(Exception):
    pass


def _append_batch(connection: Connection, batch: _Batch) -> BulkAppended:
    try:
        with connection.transaction():
            return _copy_into_store(connection, batch)
    except (_FastFormRefused, psycopg.errors.UniqueViolation, psycopg.errors.InsufficientPrivilege):
        return _append_staged(connection, batch)


def _copy_into_store(connection: Connection, batch: _Batch) -> BulkAppended:
    first_versions, positions, opened_at = _reserve_versions(connection, batch)
    encoder = _RowEncoder(connection.info.user, opened_at)
    with connection.cursor().copy(_COPY_EVENTS) as copy:
        encoded = [_COPY_HEADER]
        for stream, expected, event, position in zip(
            batch.streams, batch.expected, batch.events, positions, strict=True
        ):
            version = first_versions[stream]
            first_versions[stream] = version + 1
            if expected != -1 and not _fits(expected, version - 1):
                raise _FastFormRefused
            encoded.append(encoder.encode(stream, event, position, version))
            if len(encoded) >= _ROWS_A_WRITE:
                copy.write(b"".join(encoded))
                encoded.clear()
        copy.write(b"".join(encoded) + _COPY_TRAILER)
    return BulkAppended(len(batch.events), 0, positions[-1])


def _reserve_versions(connection: Connection, batch: _Batch) -> tuple[dict[Stream, int], list[int], datetime]:
    """The version that the next event of each stream gets, a position for each event, and the time."""
    numbers = Counter(batch.streams)
    types, ids = zip(*numbers, strict=True)
    all_new = batch.expected.count(0) == len(numbers)
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(
            "select * from penstock.reserve_versions(%b::text[], %b::text[], %b::int[], %b)",
            (list(types), list(ids), list(numbers.values()), all_new),
        ).fetchone()
    assert row is not None
    first_versions, positions, opened_at = row
    return dict(zip(numbers, first_versions, strict=True)), positions, opened_at


def _fits(expected: int, actual: int) -> bool:
    return actual == expected or (expected == -2 and actual > 0)


def _append_staged(connection: Connection, batch: _Batch) -> BulkAppended:
    staged_as = uuid4()
    encoder = _StagedEncoder(staged_as.bytes)
    rows = zip(count(), batch.streams, batch.expected, batch.events, strict=False)
    with connection.cursor() as cursor:
        with cursor.copy(_COPY_STAGED) as copy:
            copy.write(_COPY_HEADER)
            while encoded := [encoder.encode(*row) for row in islice(rows, _ROWS_A_WRITE)]:
                copy.write(b"".join(encoded))
            copy.write(_COPY_TRAILER)
        answer = cursor.execute("select * from public.append_staged_events(%s)", (staged_as,)).fetchone()
    assert answer is not None
    appended, duplicates, last_position = answer
    return BulkAppended(appended or 0, duplicates, last_position or 0)


_ROWS_A_WRITE = 500
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_COPY_EVENTS = (
    "copy public.event_store (position, id, version, created_at, aggregate_type, aggregate_id, event_type,"
    " payload, metadata, schema_version) from stdin (format binary)"
)
_COPY_STAGED = (
    "copy staging.events (batch, place, id, expected_version, aggregate_type, aggregate_id, event_type,"
    " payload, metadata, schema_version) from stdin (format binary)"
)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_EVENT_FRONT = struct.Struct(">hiqi16siiiq")
_STAGED_FRONT = struct.Struct(">hi16siii16sii")
_LENGTH = struct.Struct(">i")
_JSONB = struct.Struct(">ib")
_INTEGER = struct.Struct(">ii")
_ALWAYS_THERE = frozenset(("correlation_id", "causation_id", "actor", "source", "occurred_at"))


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def _jsonb(value: object) -> bytes:
    encoded = json_codec.dumps(value).encode()
    return _JSONB.pack(len(encoded) + 1, 1) + encoded


_type_name = lru_cache(maxsize=1000)(_text)


class _TailEncoder:
    """What rows of the store and of `staging.events` end with, in COPY's binary form."""

    def __init__(self) -> None:
        self._metadata: Mapping[str, object] | None = None
        self._about = b""

    def encode(self, stream: Stream, event: NewEvent, metadata: Mapping[str, object]) -> bytes:
        if metadata is not self._metadata:  # one call's events often share the very object
            self._metadata = metadata
            self._about = _jsonb(metadata)
        return b"".join(
            (
                _type_name(stream[0]),
                _text(stream[1]),
                _type_name(event.event_type),
                _jsonb(event.payload),
                self._about,
                _INTEGER.pack(4, event.schema_version),
            )
        )


class _RowEncoder:
    """Rows of the store in COPY's binary form. Fills in metadata as `penstock.validate_event` does."""

    def __init__(self, user: str, now: datetime) -> None:
        since = now - _EPOCH
        self._created = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        self._filling = {"actor": user, "source": "sql", "occurred_at": now}
        self._tails = _TailEncoder()

    def encode(self, stream: Stream, event: NewEvent, position: int, version: int) -> bytes:
        front = _EVENT_FRONT.pack(10, 8, position, 16, event.id.bytes, 4, version, 8, self._created)
        metadata = event.metadata
        if not metadata.keys() >= _ALWAYS_THERE:
            metadata = {"correlation_id": event.id, "causation_id": None, **self._filling, **metadata}
        return front + self._tails.encode(stream, event, metadata)


class _StagedEncoder:
    """Rows of `staging.events` in COPY's binary form."""

    def __init__(self, batch: bytes) -> None:
        self._batch = batch
        self._tails = _TailEncoder()

    def encode(self, place: int, stream: Stream, expected: int, event: NewEvent) -> bytes:
        front = _STAGED_FRONT.pack(10, 16, self._batch, 4, place, 16, event.id.bytes, 4, expected)
        return front + self._tails.encode(stream, event, event.metadata)
