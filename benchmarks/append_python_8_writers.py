"""Eight Python processes append single events: ours, a bare INSERT, the library `eventsourcing`, and the naive way."""

import multiprocessing
import os
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import Jsonb

from benchmarks.harness import METADATA, PAYLOAD, Bench, Figure, copy_of_the_store
from penstock import json_codec
from penstock.event_store import NewEvent, append, uuid7
from penstock.postgres import pool

WRITERS = 8
_DOCUMENT: dict[str, Any] = json_codec.loads(PAYLOAD)
_METADATA: dict[str, Any] = json_codec.loads(METADATA)
_INSERT = """
insert into public.bare_store
  (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
values (nextval('public.bare_store_position_seq'), %s, %s, %s, %s, %s, %s, %s, %s)
"""
_NAIVE = """
insert into public.naive_store
  (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
values (nextval('public.naive_store_position_seq'), %s, %s, %s, %s, %s, %s, %s, %s)
"""
_HIGHEST = "select max(version) from public.naive_store where aggregate_id = %s and aggregate_type = %s"

Append = Callable[[str, int], None]


def ours(url: str) -> Append:
    connection = pool.connect(url)

    def one(stream: str, version: int) -> None:
        append(connection, "order", stream, version, [NewEvent("OrderPlaced", _DOCUMENT, _METADATA)])

    return one


def _row(stream: str, version: int) -> tuple[object, ...]:
    documents = (Jsonb(_DOCUMENT, json_codec.dumps), Jsonb(_METADATA, json_codec.dumps))
    return (uuid7(), "order", stream, "OrderPlaced", *documents, version + 1, 1)


def bare(url: str) -> Append:
    cursor = pool.connect(url).cursor(binary=True)

    def one(stream: str, version: int) -> None:
        cursor.execute(_INSERT, _row(stream, version))

    return one


def naive(url: str) -> Append:
    connection = pool.connect(url)
    cursor = connection.cursor(binary=True)

    def one(stream: str, version: int) -> None:
        with connection.transaction():
            row = cursor.execute(_HIGHEST, (stream, "order")).fetchone()
            assert row == ((version or None),)
            cursor.execute(_NAIVE, _row(stream, version))

    return one


def _eventsourcing(url: str, *, functions: bool) -> Append:
    from eventsourcing.persistence import StoredEvent
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

    recorder = PostgresApplicationRecorder(_datastore(PostgresDatastore, url, functions), events_table_name="es_events")
    streams: dict[str, uuid.UUID] = {}

    def one(stream: str, version: int) -> None:
        originator = streams.setdefault(stream, uuid.uuid4())
        # its mapper would encode an event with all that is known of it, as the others do here
        state = json_codec.dumps({**_DOCUMENT, "metadata": _METADATA}).encode()
        recorder.insert_events([StoredEvent(originator, version + 1, "OrderPlaced", state)])

    return one


def _datastore(datastore: Any, url: str, functions: bool) -> Any:
    parts = conninfo_to_dict(url)
    address = (parts["dbname"], parts["host"], parts["port"], parts["user"], parts.get("password") or "")
    return datastore(*address, pool_size=1, enable_db_functions=functions)


def eventsourcing_default(url: str) -> Append:
    return _eventsourcing(url, functions=False)


def eventsourcing_functions(url: str) -> Append:
    return _eventsourcing(url, functions=True)


def _write(make: Callable[[str], Append], url: str, seconds: float, start: Any, counts: Any) -> None:
    one, run, number = make(url), f"{os.getpid()}-{uuid.uuid4().hex[:6]}", 0
    start.wait()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        one(f"{run}-{number // 10}", number % 10)
        number += 1
    counts.put(number)
    counts.close()
    counts.join_thread()
    os._exit(0)  # a peer's pool may have threads that would not let go


def race(make: Callable[[str], Append], bench: Bench) -> float:
    """Appends a second by all writers together."""
    context = multiprocessing.get_context("spawn")
    start, counts = context.Barrier(WRITERS), context.Queue()
    arguments = (make, bench.url, bench.seconds, start, counts)
    writers = [context.Process(target=_write, args=arguments, daemon=True) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        total: int = sum(counts.get(timeout=bench.seconds + 60) for _ in writers)
    finally:
        for writer in writers:
            writer.join(5)
            writer.kill()
    return total / bench.seconds


def _peers(bench: Bench) -> dict[str, Callable[[str], Append]]:
    from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

    for functions in (False, True):
        datastore = _datastore(PostgresDatastore, bench.url, functions)
        PostgresApplicationRecorder(datastore, events_table_name="es_events").create_table()
        datastore.close()
    return {"eventsourcing": eventsourcing_default, "eventsourcing with functions": eventsourcing_functions}


def run(bench: Bench) -> Iterator[Figure]:
    copy_of_the_store(bench)
    copy_of_the_store(bench, "public.naive_store")
    with psycopg.connect(bench.url) as connection:
        version = connection.info.server_version // 10000
    makers = {"bare": bare, "ours": ours, **_peers(bench), "naive max(version)+1": naive}
    found = bench.take_turns({name: lambda make=make: race(make, bench) for name, make in makers.items()})  # type: ignore[misc]
    mine, ceiling = found.pop("ours"), found.pop("bare")
    best = max((value for name, value in found.items() if name.startswith("eventsourcing")), default=0.0)
    details = {"postgres": version} | ({"to_best_eventsourcing": round(mine / best, 2)} if best else {})
    yield Figure("append_python_8_writers", "appends/s", mine, ceiling, found, at_least=0.70, details=details)
