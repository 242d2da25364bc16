"""A hundred events of one stream a call, against COPY of a hundred rows a transaction; one client, from Python."""

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from benchmarks.harness import METADATA, PAYLOAD, Bench, Figure, copy_of_the_store, timed
from penstock import json_codec
from penstock.event_store import NewEvent, append, uuid7

BATCH = 100
COLUMNS = "position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version"
TYPES = ("int8", "uuid", "text", "text", "text", "jsonb", "jsonb", "int4", "int4")
_DOCUMENT: dict[str, Any] = json_codec.loads(PAYLOAD)
_METADATA: dict[str, Any] = json_codec.loads(METADATA)


def ours(connection: psycopg.Connection, number: int) -> int:
    for _ in range(number):
        events = [NewEvent("OrderPlaced", _DOCUMENT, _METADATA) for _ in range(BATCH)]
        append(connection, "order", uuid.uuid4().hex, "no_stream", events)
    return number * BATCH


def copied(connection: psycopg.Connection, number: int) -> int:
    cursor = connection.cursor()
    for _ in range(number):
        row = cursor.execute(f"select nextval('public.bare_store_position_seq') from generate_series(1, {BATCH})")
        positions = [position for (position,) in row.fetchall()]
        with cursor.copy(f"copy public.bare_store ({COLUMNS}) from stdin (format binary)") as copy:
            copy.set_types(TYPES)
            stream = uuid.uuid4().hex
            for version, position in enumerate(positions, 1):
                documents = (Jsonb(_DOCUMENT, json_codec.dumps), Jsonb(_METADATA, json_codec.dumps))
                copy.write_row((position, uuid7(), "order", stream, "OrderPlaced", *documents, version, 1))
    return number * BATCH


def run(bench: Bench) -> Iterator[Figure]:
    copy_of_the_store(bench)
    number = max(3, int(40 * bench.seconds * bench.scale))

    def round_of(work: Callable[[psycopg.Connection, int], int]) -> Callable[[], float]:
        connection = bench.connect()
        return lambda: timed(lambda: work(connection, number))

    found = bench.take_turns({"copy": round_of(copied), "ours": round_of(ours)})
    yield Figure("append_batches_100", "events/s", found["ours"], found["copy"], at_least=0.60)
