"""`append_one`, the append of an event loop: values go to Postgres in binary, by its own hand."""

import asyncio
from typing import Any

import psycopg
import pytest

from penstock.errors import EventIdReused, InvalidInput, VersionConflict
from penstock.event_store import Appended, NewEvent, append_one, read_stream
from penstock.postgres import append_pool


def append(url: str, *events: NewEvent, stream: str = "T-1", expected: Any = "any") -> list[Appended]:
    async def scene() -> list[Appended]:
        try:
            return [await append_one(url, "ticket", stream, expected, event) for event in events]
        finally:
            append_pool.close_append_pools()

    return asyncio.run(scene())


def test_what_was_appended_is_read_as_it_was_given(database_url: str, connection: psycopg.Connection) -> None:
    stream = "größe/✓ 😀"
    event = NewEvent(
        "Tïcket", {"text": "a\\u0041'\"\n😀", "n": -1.5e-7, "deep": [[{}]], "none": None}, {"x": 1}, schema_version=7
    )
    (appended,) = append(database_url, event, stream=stream)
    (stored,) = read_stream(connection, "ticket", stream)
    assert (stored.id, stored.event_type, stored.payload) == (event.id, event.event_type, event.payload)
    assert (stored.schema_version, stored.version, stored.metadata["x"]) == (7, 1, 1)
    assert appended == Appended(1, (stored.position,), False)


def test_a_large_payload_goes_through(database_url: str, connection: psycopg.Connection) -> None:
    event = NewEvent("Big", {"text": "ü" * 3_000_000}, {})
    append(database_url, event)
    assert read_stream(connection, "ticket", "T-1")[0].payload == event.payload


def test_a_repeat_answers_as_the_first_time(database_url: str) -> None:
    event = NewEvent("T", {}, {})
    first, between, again = append(database_url, event, NewEvent("T", {}, {}), event)
    assert again == Appended(first.version, first.positions, True)
    assert between.version == 2


def test_what_the_store_refuses_is_told_as_by_append(database_url: str) -> None:
    event = NewEvent("T", {}, {})
    append(database_url, event)
    with pytest.raises(VersionConflict) as conflict:
        append(database_url, NewEvent("T", {}, {}), expected="no_stream")
    assert (conflict.value.details["expected"], conflict.value.details["actual"]) == ("no_stream", 1)
    assert isinstance(conflict.value.__cause__, psycopg.Error)
    with pytest.raises(EventIdReused):
        append(database_url, NewEvent("Other", {}, {}, event.id))


@pytest.mark.parametrize(
    "event", [NewEvent("a\x00b", {}, {}), NewEvent("T", {"a": "\x00"}, {}), NewEvent("T", {}, {"a": "\x00"})]
)
def test_a_nul_is_refused_and_cuts_no_text_short(
    database_url: str, connection: psycopg.Connection, event: NewEvent
) -> None:
    with pytest.raises(InvalidInput):
        append(database_url, event)
    with pytest.raises(InvalidInput):
        append(database_url, NewEvent("T", {}, {}), stream="a\x00b")
    assert connection.execute("select count(*) from public.event_store").fetchone() == (0,)
