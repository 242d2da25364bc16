"""Two order lines, end to end: stored as a file, planned, staged, appended.

The ceiling is a bare INSERT of two rows into a copy of the store; the peer is as many empty statements as the import
makes: what is beyond that is work.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from unittest.mock import patch

import psycopg

from benchmarks.harness import METADATA, PAYLOAD, Bench, Figure, copy_of_the_store
from benchmarks.import_data import Imports, imports
from penstock.ingest.files import advance_import, create_import

HEADER = "order_id,product_id,quantity,ordered_at,unit_price\n"
LINES = "{0},P1,1,2026-01-01T00:00:00Z,2.50\n{0},P2,2,2026-01-01T00:00:00Z,1.25\n"
LEAST = 10


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest, bench.connect() as connection:
        store = copy_of_the_store(bench)
        numbers = count(1)
        load(contest, next(numbers))  # the process' first
        with counted() as statements:
            load(contest, next(numbers))

        def insert() -> None:
            connection.execute(
                f"""insert into {store}
                      (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version)
                    select nextval('{store}_position_seq'), gen_random_uuid(), 'order', gen_random_uuid()::text,
                      'OrderPlaced', %s::jsonb, %s::jsonb, 1 from generate_series(1, 2)""".encode(),
                (PAYLOAD, METADATA),
            )

        def trips() -> None:
            for _ in range(statements[0]):
                connection.execute("select 1")

        found = bench.take_turns(
            {
                "ours": lambda: p50(bench, lambda: load(contest, next(numbers))),
                "insert": lambda: p50(bench, insert),
                "round trips": lambda: p50(bench, trips),
            }
        )
        peers, details = {"as many empty statements": found["round trips"]}, {"statements": statements[0]}
        yield Figure("import_small", "ms, p50", found["ours"], found["insert"], peers, details=details)


def load(contest: Imports, number: int) -> None:
    created, known = create_import(contest.settings, "orders", (HEADER + LINES.format(number)).encode())
    done = advance_import(contest.settings, created.id)
    if known or (done.state, done.loaded) != ("completed", 2):
        raise RuntimeError(f"the import ended as {done.state}: {done.error}")


def p50(bench: Bench, work: Callable[[], None]) -> float:
    taken: list[float] = []
    end = time.monotonic() + bench.seconds
    while time.monotonic() < end or len(taken) < LEAST:
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many statements are sent meanwhile; of a COPY its one."""
    number = [0]

    def counting(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            number[0] += 1
            return method(*arguments, **named)

        return call

    cursor = psycopg.Cursor
    with (
        patch.object(cursor, "execute", counting(cursor.execute)),
        patch.object(cursor, "copy", counting(cursor.copy)),
    ):
        yield number
