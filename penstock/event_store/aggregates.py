"""The state of an aggregate: its stream folded by a reducer, now, at a version, or as it was stored at a time.

A load remembers the state of each hundredth version that it passes last, and a later load begins there. Snapshots are
a cache: with all of them deleted every answer is the same, only later.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from psycopg.types.json import Json

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.event_store.events import RecordedEvent
from penstock.event_store.streams import read_stream
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

S = TypeVar("S")

SNAPSHOT_EVERY: Final = 100

_READ: Final = "select * from penstock.read_aggregate(%s, %s, %s, %s, %s, %s)"
_SAVE: Final = "select penstock.save_snapshot(%s, %s, %s, %s, %s, %s, %s, %s, %s)"


@dataclass(frozen=True)
class Reducer(Generic[S]):
    """How a stream becomes a state: `evolve(state, event)` from `initial`.

    `name` keeps the snapshots of different reducers apart. Raise `version` when a fold comes to something else: older
    snapshots are then not used. `dump` gives a state as plain JSON values, and `restore` gives the very state back.
    """

    name: str
    version: int
    initial: S
    evolve: Callable[[S, RecordedEvent], S]
    dump: Callable[[S], Any]
    restore: Callable[[Any], S]


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A state, the version and position of its last event (0 if there is none), and when the latest was stored."""

    state: S
    version: int
    position: int
    stored_at: datetime | None


def load_aggregate(
    connection: Connection,
    reducer: Reducer[S],
    aggregate_type: str,
    aggregate_id: str,
    *,
    at_version: int | None = None,
    at: datetime | None = None,
) -> Loaded[S]:
    """Fold a stream: all of it, up to `at_version`, up to the last event stored at or before `at`, or up to both."""
    if at_version is not None and at_version < 0:
        raise InvalidInput(f"{at_version} is not a version", field="at_version")
    if at is not None and at.tzinfo is None:
        raise InvalidInput("a time without an offset", field="at")
    with translate_errors():
        generation, start, events = _read(connection, reducer, aggregate_type, aggregate_id, at_version, at)
        snapshot: Loaded[S] | None = None
        loaded = start
        for event in events:
            stored_at = max(event.created_at, loaded.stored_at or event.created_at)
            if at is not None and stored_at > at:
                break
            loaded = Loaded(reducer.evolve(loaded.state, event), event.version, event.position, stored_at)
            if event.version % SNAPSHOT_EVERY == 0:
                snapshot = loaded
        if snapshot:
            key = (aggregate_type, aggregate_id, reducer.name, reducer.version, generation)
            state = Json(reducer.dump(snapshot.state), dumps=json_codec.dumps)
            connection.execute(_SAVE, (*key, snapshot.version, snapshot.position, snapshot.stored_at, state))
    return loaded


def _read(
    connection: Connection,
    reducer: Reducer[S],
    aggregate_type: str,
    aggregate_id: str,
    at_version: int | None,
    at: datetime | None,
) -> tuple[int, Loaded[S], Iterator[RecordedEvent]]:
    """The generation of upcasters, what the snapshot says, and the events after it."""
    with connection.cursor(binary=True) as cursor:
        values = (aggregate_type, aggregate_id, reducer.name, reducer.version, at_version, at)
        rows = cursor.execute(_READ, values).fetchall()
    start = Loaded(reducer.initial, 0, 0, None)
    generation = rows[0][0] if rows else 0
    if rows and rows[0][3] is None:
        _, state, position, *_, version, _, stored_at = rows.pop(0)
        start = Loaded(reducer.restore(state), version, position, stored_at)
    stream = (aggregate_type, aggregate_id)
    first = [RecordedEvent(row[2], row[3], *stream, *row[4:]) for row in rows]
    return generation, start, _with_the_rest(connection, first, at_version)


def _with_the_rest(
    connection: Connection, page: list[RecordedEvent], at_version: int | None
) -> Iterator[RecordedEvent]:
    while page:
        yield from page
        last = page[-1]
        if len(page) < _PAGE or last.version == at_version:
            return
        count = _PAGE if at_version is None else min(_PAGE, at_version - last.version)
        page = read_stream(
            connection, last.aggregate_type, last.aggregate_id, after_version=last.version, max_count=count
        )


_PAGE: Final = 1000
