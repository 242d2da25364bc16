"""Events a second into the read models of orders: from the checkpoint on, and a rebuild into the second copy.

The ceiling of both is a plain `insert … select` of the finished rows into copies of the tables, with the indexes that
ours has to keep: writing alone, nothing read from an event. `whole_rebuild` adds the comparison with the live tables.
"""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import psycopg
from psycopg import sql

from benchmarks.harness import METADATA, PAYLOAD, Bench, Figure, timed, url_of
from penstock.event_store import NewEvent, StreamAppend, append_bulk
from penstock.postgres import pool
from penstock.projections import advance, projections, rebuild, rebuilding
from penstock.projections.projection import place_of
from penstock.settings import Settings

EVENTS = 500_000
STEPS = ("OrderPlaced", "PaymentReceived", "OrderShipped", "OrderDelivered", "OrderCompleted")


def orders(number: int) -> Iterator[StreamAppend]:
    """Whole lives of orders, five events each."""
    run, payload, metadata = uuid.uuid4().hex[:8], json.loads(PAYLOAD), json.loads(METADATA)
    begin = datetime(2010, 12, 1, tzinfo=UTC)
    for order in range(number):
        moment = (begin + timedelta(seconds=37 * order)).isoformat()
        placed = {**payload, "order_id": f"{run}-{order}", "placed_at": moment}
        events = [
            NewEvent(step, placed if step == "OrderPlaced" else {}, {**metadata, "occurred_at": moment})
            for step in STEPS
        ]
        yield StreamAppend("order", f"{run}-{order}", "no_stream", events)


def identifiers(schema: str, table: str) -> dict[str, sql.Identifier]:
    """A live table and its namesake in another schema."""
    live_schema, name = place_of(table)
    return {"copy": sql.Identifier(schema, name), "live": sql.Identifier(live_schema, name)}


def written(connection: psycopg.Connection, schema: str, events: int) -> float:
    """Events a second if their finished rows only had to be written."""
    statements = [insertion(connection, identifiers(schema, table)) for table in projections()["orders"].tables]
    began = time.perf_counter()
    for statement in statements:
        connection.execute(statement)
    return events / (time.perf_counter() - began)


def insertion(connection: psycopg.Connection, names: dict[str, sql.Identifier]) -> sql.Composed:
    """All columns but those that Postgres computes."""
    rows = connection.execute(
        """select a.attname from pg_catalog.pg_attribute as a
           where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''""",
        (names["live"].as_string(connection),),
    ).fetchall()
    columns = sql.SQL(", ").join(sql.Identifier(name) for (name,) in rows)
    return sql.SQL("insert into {copy} ({columns}) select {columns} from {live}").format(columns=columns, **names)


def write_live(connection: psycopg.Connection, events: int) -> float:
    with connection.transaction(force_rollback=True):
        connection.execute("create schema bench")
        for table in projections()["orders"].tables:
            names = identifiers("bench", table)
            connection.execute(sql.SQL("create table {copy} (like {live} including all)").format(**names))
        return written(connection, "bench", events)


def write_copy(connection: psycopg.Connection, settings: Settings, events: int) -> float:
    copy = rebuilding._Copy(settings, projections()["orders"])
    copy.create()
    return written(connection, copy.schema, events)


def filled(settings: Settings) -> float:
    copy = rebuilding._Copy(settings, projections()["orders"])
    copy.create()

    def fill() -> int:
        copy.fill()
        return copy.events

    return timed(fill)


def rebuilt(settings: Settings) -> int:
    found = rebuild(settings, "orders")
    if (found.parked, found.deleted, found.inserted) != (0, 0, 0):
        raise RuntimeError(f"a rebuild is not what was folded piece by piece: {found}")
    return found.events


def run(bench: Bench) -> Iterator[Figure]:
    number = bench.scaled(EVENTS)
    settings = Settings(database_url=url_of(bench.url), environment="local")
    share = max(1, number // len(STEPS) // (bench.rounds + 1))
    stream = orders(share * (bench.rounds + 1))
    try:
        with bench.connect() as connection:

            def advanced() -> float:
                append_bulk(connection, islice(stream, share))
                return timed(lambda: advance(settings, "orders", seconds=600).events)

            found = bench.take_turns({"project_orders": advanced})
            events = share * (bench.rounds + 1) * len(STEPS)
            found |= bench.take_turns(
                {
                    "fill the copy": lambda: filled(settings),
                    "whole rebuild": lambda: timed(lambda: rebuilt(settings)),
                    "write live rows": lambda: write_live(connection, events),
                    "write the copy's rows": lambda: write_copy(connection, settings, events),
                }
            )
    finally:
        pool.close_pools()
    live = {"events": events, "wanted": 80_000}
    copy = {"events": events, "wanted": 300_000, "whole_rebuild": round(found["whole rebuild"])}
    yield Figure("project_orders", "events/s", found["project_orders"], found["write live rows"], details=live)
    yield Figure("rebuild_orders", "events/s", found["fill the copy"], found["write the copy's rows"], details=copy)
