"""Events of many streams in one transaction, version-checked and idempotent, against COPY of the same rows."""

import uuid
from collections.abc import Iterator
from typing import Any

from psycopg.types.json import Jsonb

from benchmarks.append_batches_100 import COLUMNS, TYPES
from benchmarks.harness import METADATA, PAYLOAD, Bench, Figure, copy_of_the_store, timed
from penstock import json_codec
from penstock.event_store import NewEvent, StreamAppend, append_bulk

EVENTS = 40_000
A_STREAM = 2
_DOCUMENT: dict[str, Any] = json_codec.loads(PAYLOAD)
_METADATA: dict[str, Any] = json_codec.loads(METADATA)


def appends(number: int) -> list[StreamAppend]:
    run = uuid.uuid4().hex[:8]
    return [
        StreamAppend(
            "order",
            f"{run}-{stream}",
            "no_stream",
            [NewEvent("OrderPlaced", _DOCUMENT, _METADATA) for _ in range(A_STREAM)],
        )
        for stream in range(number // A_STREAM)
    ]


def run(bench: Bench) -> Iterator[Figure]:
    copy_of_the_store(bench)
    number = bench.scaled(EVENTS)
    connection = bench.connect()

    def ours() -> float:
        sent = appends(number)
        return timed(lambda: append_bulk(connection, sent).appended)

    def staged() -> float:
        """For roles that may not insert into the store, and for batches in which something is stored already."""
        sent = appends(number)
        with bench.connect() as service:
            service.execute("set role service_role")
            return timed(lambda: append_bulk(service, sent).appended)

    def again() -> float:
        sent = appends(number)
        append_bulk(connection, sent)
        return timed(lambda: append_bulk(connection, sent).duplicates)

    def copied() -> float:
        sent = appends(number)

        def copy_all() -> int:
            with connection.cursor().copy(f"copy public.bare_store ({COLUMNS}) from stdin (format binary)") as copy:
                copy.set_types(TYPES)
                for aggregate_type, aggregate_id, _, events in sent:
                    for version, event in enumerate(events, 1):
                        documents = (Jsonb(event.payload, json_codec.dumps), Jsonb(event.metadata, json_codec.dumps))
                        position = next(positions)
                        row = (position, event.id, aggregate_type, aggregate_id, event.event_type, *documents, version)
                        copy.write_row((*row, event.schema_version))
            return len(sent) * A_STREAM

        return timed(copy_all)

    positions = iter(range(1, 10**12))
    found = bench.take_turns({"copy": copied, "ours": ours, "ours, staged": staged, "ours, all stored before": again})
    details = {
        "events": number,
        "staged": round(found["ours, staged"]),
        "again": round(found["ours, all stored before"]),
    }
    yield Figure("append_bulk", "events/s", found["ours"], found["copy"], at_least=0.80, details=details)
