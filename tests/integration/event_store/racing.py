"""Writers that race in every way that an append can take, and readers that write down what they saw."""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from penstock import errors
from penstock.event_store import NewEvent, append, append_bulk, read_events
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from tests.waiting import PATIENCE_SECONDS

PAGE = 500


def together(tasks: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run each task in a thread of its own, all at once; raises what one of them raised."""
    barrier = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        barrier.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as threads:
        return [future.result() for future in [threads.submit(run, task) for task in tasks]]


def made(number: int = 1) -> list[NewEvent]:
    return [NewEvent("Made", {"n": n}) for n in range(number)]


class _Undo(Exception):
    pass


@dataclass
class Writer:
    """Appends to many streams until it has stored its share; knows the ids of what was committed."""

    database_url: str
    name: str
    share: int
    pause: float = 0.02
    committed: list[UUID] = field(default_factory=list)

    def run(self) -> None:
        chance = random.Random(self.name)
        ways = [self.one] * 8 + [self.several] * 4 + [self.slow, self.undone, self.half_undone, self.staged]
        with pool.connect(self.database_url) as connection:
            while len(self.committed) < self.share:
                # two transactions over several streams may deadlock: one is rolled back whole and says so
                with contextlib.suppress(errors.Unavailable):
                    self.committed += chance.choice(ways)(connection, chance)

    def _append(self, connection: Connection, chance: random.Random, number: int) -> list[UUID]:
        events = made(number)
        append(connection, "thing", f"{self.name}-{chance.randrange(50)}", "any", events)
        return [event.id for event in events]

    def one(self, connection: Connection, chance: random.Random) -> list[UUID]:
        return self._append(connection, chance, 1)

    def several(self, connection: Connection, chance: random.Random) -> list[UUID]:
        return self._append(connection, chance, chance.randrange(2, 30))

    def slow(self, connection: Connection, chance: random.Random) -> list[UUID]:
        """Several appends in one transaction that takes its time before the commit."""
        with connection.transaction():
            ids = []
            for _ in range(chance.randrange(1, 5)):
                ids += self._append(connection, chance, chance.randrange(1, 20))
                time.sleep(chance.random() * self.pause)
        return ids

    def undone(self, connection: Connection, chance: random.Random) -> list[UUID]:
        try:
            with connection.transaction():
                self._append(connection, chance, chance.randrange(1, 10))
                raise _Undo
        except _Undo:
            return []

    def half_undone(self, connection: Connection, chance: random.Random) -> list[UUID]:
        """Rolls a savepoint back that published the floor, then appends again in the same transaction."""
        with connection.transaction():
            ids = self._append(connection, chance, 2) if chance.random() < 0.5 else []
            self.undone(connection, chance)
            time.sleep(chance.random() * self.pause)
            ids += self._append(connection, chance, chance.randrange(1, 10))
            time.sleep(chance.random() * self.pause)
        return ids

    def staged(self, connection: Connection, chance: random.Random) -> list[UUID]:
        events = made(chance.randrange(1, 60))
        streams = [f"{self.name}-{chance.randrange(50)}" for _ in events]
        append_bulk(connection, [("thing", s, "any", [e]) for s, e in zip(streams, events, strict=True)])
        return [event.id for event in events]


@dataclass
class Reader:
    """Follows the store from position 0 by the append floors."""

    database_url: str
    seen: list[tuple[int, UUID]] = field(default_factory=list)

    def page(self, connection: Connection, after: int) -> list[tuple[int, UUID]]:
        return [(e.position, e.id) for e in read_events(connection, after=after, max_count=PAGE)]

    def run(self, finished: threading.Event) -> None:
        with pool.connect(self.database_url) as connection:
            while True:
                last_turn = finished.is_set()
                page = self.page(connection, self.seen[-1][0] if self.seen else 0)
                self.seen += page
                if last_turn and not page:
                    return


class NaiveReader(Reader):
    """What goes wrong: trusts `position > checkpoint`."""

    def page(self, connection: Connection, after: int) -> list[tuple[int, UUID]]:
        query = "select position, id from public.event_store where position > %s order by position limit %s"
        return connection.execute(query, (after, PAGE)).fetchall()


class OneStatementReader(Reader):
    """What goes wrong a little: floors and rows in one statement, so that the snapshot is older than the floors."""

    def page(self, connection: Connection, after: int) -> list[tuple[int, UUID]]:
        query = (
            "select position, id from public.event_store where position > %s and position <= penstock.high_water_mark()"
            " order by position limit %s"
        )
        return connection.execute(query, (after, PAGE)).fetchall()


def race(writers: Sequence[Writer], readers: Sequence[Reader]) -> None:
    finished = threading.Event()
    with ThreadPoolExecutor(len(readers)) as threads:
        running = [threads.submit(reader.run, finished) for reader in readers]
        try:
            together([writer.run for writer in writers])
        finally:
            finished.set()
        for future in running:
            future.result()


@dataclass(frozen=True)
class Account:
    """How what a reader saw compares with what the writers committed."""

    events: int
    lost: int
    twice: int
    strange: int
    in_order: bool


def account(writers: Sequence[Writer], reader: Reader) -> Account:
    committed = {event_id for writer in writers for event_id in writer.committed}
    ids = [event_id for _, event_id in reader.seen]
    positions = [position for position, _ in reader.seen]
    return Account(
        events=len(committed),
        lost=len(committed - set(ids)),
        twice=len(ids) - len(set(ids)),
        strange=len(set(ids) - committed),
        in_order=positions == sorted(set(positions)),
    )


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> float:
    """Wait for `condition`; returns the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "waited too long"
        time.sleep(0.001)
    return time.monotonic() - began


def open_write_transaction(database_url: str) -> psycopg.Connection:
    """A connection whose transaction has written to a table of its own and stays open."""
    connection = psycopg.connect(database_url)
    connection.execute("create table if not exists public.unrelated (n int)")
    connection.commit()
    connection.execute("insert into public.unrelated values (1)")
    return connection
