"""Every form of expected version × every state of a stream × every kind of repeat, against a model of the rules."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

import psycopg
import pytest

from penstock import errors
from penstock.event_store import Appended, NewEvent, append, read_stream, uuid7
from penstock.event_store.events import ExpectedVersion
from penstock.postgres import pool, sqlstates
from tests import throwaway

STATES = (0, 1, 4)
NUMBERS = (1, 3)
FORMS: tuple[ExpectedVersion, ...] = ("any", "no_stream", "stream_exists", 0, 1, 2, 3, 4, 5, 7, 2**31 - 1)
Outcome: TypeAlias = Appended | type[errors.PenstockError]


def combinations(*choices: Iterable[Any]) -> list[tuple[Any, ...]]:
    return list(itertools.product(*choices))


@pytest.fixture(scope="module")
def database_of_module() -> Iterator[str]:
    with throwaway.cloned_database() as url:
        yield url


@pytest.fixture(scope="module")
def connection(database_of_module: str) -> Iterator[psycopg.Connection]:
    with pool.connect(database_of_module) as connection:
        yield connection


@pytest.fixture(scope="module")
def other(database_of_module: str) -> Iterator[psycopg.Connection]:
    with pool.connect(database_of_module) as connection:
        yield connection


def events(number: int) -> list[NewEvent]:
    return [NewEvent("Counted", {"n": n, "money": "2.550"}, {"actor": "tests"}) for n in range(number)]


def stream_at(connection: psycopg.Connection, version: int) -> str:
    aggregate_id = str(uuid7())
    if version:
        append(connection, "thing", aggregate_id, "no_stream", events(version))
    return aggregate_id


def accepted(expected: ExpectedVersion, version: int) -> bool:
    words = {"any": True, "no_stream": version == 0, "stream_exists": version > 0}
    return words[expected] if isinstance(expected, str) else expected == version


def version_of(connection: psycopg.Connection, aggregate_id: str) -> int:
    """The head's version, after a look at the stream: without gaps, and ending where the head says."""
    versions = [e.version for e in read_stream(connection, "thing", aggregate_id)]
    assert versions == list(range(1, len(versions) + 1))
    row = connection.execute("select version from penstock.streams where aggregate_id = %s", (aggregate_id,)).fetchone()
    assert (row[0] if row else 0) == len(versions)
    return len(versions)


@pytest.mark.parametrize(("form", "state", "number"), combinations(FORMS, STATES, NUMBERS))
def test_a_first_append(connection: psycopg.Connection, form: ExpectedVersion, state: int, number: int) -> None:
    aggregate_id = stream_at(connection, state)
    if accepted(form, state):
        answer = append(connection, "thing", aggregate_id, form, events(number))
        assert (answer.version, len(answer.positions), answer.duplicate) == (state + number, number, False)
        assert list(answer.positions) == sorted(answer.positions)
        assert version_of(connection, aggregate_id) == state + number
        return
    with pytest.raises(errors.VersionConflict) as caught:
        append(connection, "thing", aggregate_id, form, events(number))
    assert caught.value.details == {"expected": form if form != 0 else "no_stream", "actual": state}
    assert version_of(connection, aggregate_id) == state


FIRST_FORMS = [(form, state) for form, state in combinations(FORMS, STATES) if accepted(form, state)]
SINCE = ("nothing", "others")


@pytest.mark.parametrize(("since", "number", "by"), combinations(SINCE, NUMBERS, ("same", "other")))
@pytest.mark.parametrize(("form", "state"), FIRST_FORMS)
def test_a_repeat_answers_as_the_first_time(
    connection: psycopg.Connection,
    other: psycopg.Connection,
    form: ExpectedVersion,
    state: int,
    number: int,
    since: str,
    by: str,
) -> None:
    aggregate_id = stream_at(connection, state)
    sent = events(number)
    first = append(connection, "thing", aggregate_id, form, sent)
    if since == "others":
        append(other, "thing", aggregate_id, "any", events(2))
    before = version_of(connection, aggregate_id)
    # whatever the repeat expects: its events are in the store, and that is the answer
    for repeated_form in (form, *FORMS):
        again = append(connection if by == "same" else other, "thing", aggregate_id, repeated_form, sent)
        assert again == replace(first, duplicate=True)
    assert version_of(connection, aggregate_id) == before


def half_of_the_repeat(sent: list[NewEvent]) -> list[list[NewEvent]]:
    fresh = events(3)
    return [[*sent, *fresh], [*fresh, *sent], [fresh[0], sent[1], fresh[1]], [sent[0], fresh[0]]]


@pytest.mark.parametrize(("form", "state", "which"), combinations(FORMS, STATES, range(4)))
def test_half_a_repeat_is_refused(
    connection: psycopg.Connection, form: ExpectedVersion, state: int, which: int
) -> None:
    aggregate_id = stream_at(connection, state)
    sent = events(3)
    append(connection, "thing", aggregate_id, "any", sent)
    mixed = half_of_the_repeat(sent)[which]
    with pytest.raises(errors.PartialRepeat) as caught:
        append(connection, "thing", aggregate_id, form, mixed)
    stored = len({e.id for e in mixed} & {e.id for e in sent})
    assert caught.value.details == {"stored": stored, "sent": len(mixed)}
    assert version_of(connection, aggregate_id) == state + 3


def altered(sent: list[NewEvent]) -> dict[str, list[NewEvent]]:
    first, *rest = sent
    return {
        "payload": [replace(first, payload={"n": 0, "money": "2.551"}), *rest],
        "a money's trailing zero": [replace(first, payload={"n": 0, "money": "2.55"}), *rest],
        "one more key": [replace(first, payload={**first.payload, "more": None}), *rest],
        "type": [replace(first, event_type="Recounted"), *rest],
        "schema version": [replace(first, schema_version=2), *rest],
        "order": [*rest, first],
    }


CHANGED = [(what, number) for what in altered(events(3)) for number in NUMBERS if (what, number) != ("order", 1)]


@pytest.mark.parametrize(("what", "number"), CHANGED)
@pytest.mark.parametrize(("form", "state"), combinations(FORMS, STATES))
def test_a_used_id_with_another_content_is_refused(
    connection: psycopg.Connection, form: ExpectedVersion, state: int, number: int, what: str
) -> None:
    aggregate_id = stream_at(connection, state)
    sent = events(number)
    append(connection, "thing", aggregate_id, "any", sent)
    with pytest.raises(errors.EventIdReused):
        append(connection, "thing", aggregate_id, form, altered(sent)[what])
    assert version_of(connection, aggregate_id) == state + number


@pytest.mark.parametrize(("form", "state", "number"), combinations(FORMS, STATES, NUMBERS))
def test_an_id_of_another_stream_is_refused(
    connection: psycopg.Connection, form: ExpectedVersion, state: int, number: int
) -> None:
    sent = events(number)
    append(connection, "thing", stream_at(connection, 0), "any", sent)
    aggregate_id = stream_at(connection, state)
    with pytest.raises(errors.EventIdReused):
        append(connection, "thing", aggregate_id, form, sent)
    assert version_of(connection, aggregate_id) == state


def test_the_same_id_of_another_aggregate_type_is_another_stream(connection: psycopg.Connection) -> None:
    aggregate_id = stream_at(connection, 4)
    sent = events(1)
    assert append(connection, "customer", aggregate_id, "no_stream", sent).version == 1
    with pytest.raises(errors.EventIdReused):
        append(connection, "thing", aggregate_id, 4, sent)


@pytest.mark.parametrize("form", FORMS)
def test_an_id_twice_in_one_call_is_refused(connection: psycopg.Connection, form: ExpectedVersion) -> None:
    for state in STATES:
        aggregate_id = stream_at(connection, state)
        one, two = events(2)
        with pytest.raises((errors.InvalidInput, errors.VersionConflict)) as caught:
            append(connection, "thing", aggregate_id, form, [one, two, one])
        assert not accepted(form, state) or isinstance(caught.value, errors.InvalidInput)
        assert version_of(connection, aggregate_id) == state


@pytest.mark.parametrize("code", [None, -3, -(2**31)])
@pytest.mark.parametrize(
    "call",
    [
        "select public.append_event('thing', 'a', %s::int, gen_random_uuid(), 'Counted', '{}')",
        "select public.append_events('thing', 'a', %s::int, array[gen_random_uuid()], '{Counted}', array['{}'::jsonb])",
    ],
)
def test_an_unknown_form_is_refused(connection: psycopg.Connection, code: int | None, call: str) -> None:
    with pytest.raises(errors.InvalidInput, match="expected_version"), sqlstates.translate_errors():
        connection.execute(call.encode(), (code,))


@pytest.mark.parametrize("form", ["ANY", "", -1, -2, 2**31])
def test_an_unknown_form_is_refused_before_it_is_sent(connection: psycopg.Connection, form: ExpectedVersion) -> None:
    with pytest.raises(errors.InvalidInput):
        append(connection, "thing", "a", form, events(1))


def test_no_events_are_refused(connection: psycopg.Connection) -> None:
    with pytest.raises(errors.InvalidInput):
        append(connection, "thing", "a", "any", [])
