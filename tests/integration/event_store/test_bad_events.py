"""What is no event is refused by name of the field, through every way in, and nothing is stored."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from penstock import errors
from penstock.event_store import NewEvent, append, append_bulk, uuid7
from penstock.event_store import bulk as bulk_module
from penstock.event_store.events import ExpectedVersion
from penstock.postgres import pool, sqlstates
from penstock.postgres.pool import Connection
from tests import throwaway

GOOD = NewEvent("Made", {"n": 1}, {"actor": "tests"})
WHOLE = replace(
    GOOD,
    metadata=dict.fromkeys(("correlation_id", "causation_id", "actor", "source", "occurred_at"), "x"),
)
BAD: dict[str, NewEvent] = {
    "event_type": replace(WHOLE, event_type=""),
    "event_type too long": replace(GOOD, event_type="x" * 201),
    "payload": replace(WHOLE, payload=[]),  # type: ignore[arg-type]
    "payload a string": replace(GOOD, payload="text"),  # type: ignore[arg-type]
    "payload null": replace(WHOLE, payload=None),  # type: ignore[arg-type]
    "metadata": replace(GOOD, metadata=[]),  # type: ignore[arg-type]
    "metadata a list of the right words": replace(WHOLE, metadata=list(WHOLE.metadata)),  # type: ignore[arg-type]
    "schema_version": replace(WHOLE, schema_version=0),
    "schema_version below": replace(GOOD, schema_version=-7),
}
UNSENDABLE: dict[str, NewEvent] = {
    "schema_version of 33 bits": replace(GOOD, schema_version=2**32),
    "half of a surrogate pair in the type": replace(GOOD, event_type="a\ud800"),
    "half of a surrogate pair in the payload": replace(GOOD, payload={"a": "\udfff"}),
    "NUL in the type": replace(GOOD, event_type="a\0"),
    "NUL in the payload": replace(GOOD, payload={"a": "\0"}),
}
STREAMS = {
    "aggregate_type": ("", "a"),
    "aggregate_type too long": ("x" * 101, "a"),
    "aggregate_id": ("thing", ""),
    "aggregate_id too long": ("thing", "x" * 201),
}
Way = Callable[[Connection, str, str, ExpectedVersion, NewEvent], Any]


@pytest.fixture(scope="module")
def connection() -> Iterator[Connection]:
    with throwaway.cloned_database() as url, pool.connect(url) as connection:
        yield connection


def stored(connection: Connection) -> object:
    query = "select (select count(*) from public.event_store), count(*), sum(version) from penstock.streams"
    return connection.execute(query).fetchone()


def alone(connection: Connection, *call: Any) -> None:
    aggregate_type, aggregate_id, expected, event = call
    append(connection, aggregate_type, aggregate_id, expected, [event])


def among_others(connection: Connection, *call: Any) -> None:
    aggregate_type, aggregate_id, expected, event = call
    append(connection, aggregate_type, aggregate_id, expected, [NewEvent("Made", {}), event])


def in_bulk(connection: Connection, *call: Any) -> None:
    append_bulk(connection, [("thing", "other", "any", [NewEvent("Made", {})]), (*call[:3], [call[3]])])


def staged(connection: Connection, *call: Any) -> None:
    (rows,) = bulk_module._batches([(*call[:3], [call[3]])])
    with sqlstates.translate_errors():
        bulk_module._append_staged(connection, rows)


@pytest.mark.parametrize("expected", ["no_stream", "any"])
@pytest.mark.parametrize("way", [alone, among_others, in_bulk, staged])
@pytest.mark.parametrize("what", [*BAD, *STREAMS])
def test_it_is_refused(connection: Connection, what: str, way: Way, expected: ExpectedVersion) -> None:
    stream = STREAMS.get(what, ("thing", "a"))
    with pytest.raises(errors.InvalidInput, match=what.split()[0]):
        way(connection, *stream, expected, BAD.get(what, GOOD))
    assert connection.execute(
        "select (select count(*) from public.event_store), count(*) from penstock.streams"
    ).fetchone() == (0, 0)


@pytest.mark.parametrize("way", [alone, among_others])
@pytest.mark.parametrize("what", BAD)
def test_a_stream_that_exists_takes_no_better(connection: Connection, what: str, way: Way) -> None:
    stream = str(uuid7())
    append(connection, "thing", stream, "no_stream", [NewEvent("Made", {})])
    before = stored(connection)
    for expected in (1, "stream_exists"):
        with pytest.raises(errors.InvalidInput, match=what.split()[0]):
            way(connection, "thing", stream, expected, BAD[what])
    assert stored(connection) == before


@pytest.mark.parametrize("way", [alone, among_others, in_bulk])
@pytest.mark.parametrize("event", UNSENDABLE.values(), ids=UNSENDABLE.keys())
def test_what_postgres_cannot_hold_is_refused(connection: Connection, event: NewEvent, way: Way) -> None:
    before = stored(connection)
    with pytest.raises(errors.InvalidInput):
        way(connection, "thing", "a", "any", event)
    assert stored(connection) == before
