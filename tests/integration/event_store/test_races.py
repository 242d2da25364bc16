"""One winner per version, none hurt on a hot stream, and a repeat is safe from wherever and whenever it comes."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import count

import pytest

from penstock import errors
from penstock.event_store import Appended, NewEvent, RecordedEvent, append, read_events, read_stream
from penstock.event_store.events import ExpectedVersion
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from tests.integration.event_store.racing import made, together

WRITERS = 64


def versions(connection: Connection, aggregate_id: str) -> list[int]:
    return [e.version for e in read_stream(connection, "thing", aggregate_id)]


def test_sixty_four_writers_have_one_winner_per_version(database_url: str, connection: Connection) -> None:
    rounds = 8

    def climb() -> tuple[list[int], list[errors.VersionConflict]]:
        won: list[int] = []
        lost: list[errors.VersionConflict] = []
        with pool.connect(database_url) as own:
            expected = 0
            while expected < rounds:
                try:
                    expected = append(own, "thing", "hot", expected, made()).version
                    won.append(expected)
                except errors.VersionConflict as conflict:
                    lost.append(conflict)
                    expected = int(str(conflict.details["actual"]))
        return won, lost

    outcomes = together([climb] * WRITERS)
    winners = Counter(version for won, _ in outcomes for version in won)
    assert winners == dict.fromkeys(range(1, max(winners) + 1), 1)
    assert versions(connection, "hot") == sorted(winners)
    conflicts = [conflict.details for _, lost in outcomes for conflict in lost]
    assert conflicts
    for details in conflicts:
        expected, actual = details["expected"], details["actual"]
        assert isinstance(actual, int)
        assert actual > (0 if expected == "no_stream" else int(str(expected)))


@pytest.mark.parametrize("number", [1, 3])
def test_any_on_one_hot_stream_never_fails(database_url: str, connection: Connection, number: int) -> None:
    each = 6

    def hurry() -> list[Appended]:
        with pool.connect(database_url) as own:
            return [append(own, "thing", "hot", "any", made(number)) for _ in range(each)]

    answers = [answer for answers in together([hurry] * WRITERS) for answer in answers]
    total = WRITERS * each * number
    assert sorted(a.version for a in answers) == list(range(number, total + 1, number))
    stored = [e for page in pages(connection) for e in page]
    assert [e.version for e in sorted(stored, key=lambda e: e.position)] == list(range(1, total + 1))


def pages(connection: Connection) -> list[list[RecordedEvent]]:
    found: list[list[RecordedEvent]] = []
    after = 0
    while page := read_events(connection, after=after):
        found.append(page)
        after = page[-1].position
    return found


@pytest.mark.parametrize("form", ["no_stream", "any", 2, "stream_exists"])
@pytest.mark.parametrize("number", [1, 5])
def test_the_same_append_sent_by_many_at_once_is_stored_once(
    database_url: str, connection: Connection, form: ExpectedVersion, number: int
) -> None:
    before = 0 if form in ("no_stream", "any") else 2
    if before:
        append(connection, "thing", "a", "no_stream", made(before))
    sent = made(number)

    def send() -> Appended:
        with pool.connect(database_url) as own:
            return append(own, "thing", "a", form, sent)

    answers = together([send] * 16)
    assert sorted(a.duplicate for a in answers) == [False] + [True] * 15
    assert {(a.version, a.positions) for a in answers} == {(before + number, answers[0].positions)}
    assert versions(connection, "a") == list(range(1, before + number + 1))


def test_repeats_among_other_writers_keep_versions_without_gaps(database_url: str, connection: Connection) -> None:
    """Each sends its event up to four times, from new connections, while all hurry on three streams."""
    numbers = count()

    def insist() -> list[tuple[NewEvent, set[tuple[int, tuple[int, ...]]]]]:
        chance = random.Random(next(numbers))
        told = []
        for _ in range(10):
            stream, (event,) = str(chance.randrange(3)), made()
            answers = set()
            for _ in range(chance.randrange(1, 5)):
                with pool.connect(database_url) as own:
                    answer = append(own, "thing", stream, "any", [event])
                    answers.add((answer.version, answer.positions))
            told.append((event, answers))
        return told

    told = [one for many in together([insist] * 12) for one in many]
    assert all(len(answers) == 1 for _, answers in told)
    assert len({answers.copy().pop()[1] for _, answers in told}) == len(told)
    for stream in ("0", "1", "2"):
        assert versions(connection, stream) == list(range(1, len(versions(connection, stream)) + 1))


def lost_answer(own: Connection, send: Callable[[], Appended]) -> None:
    """The commit arrives, its answer does not."""
    send()
    own.close()


def test_a_caller_who_lost_the_answer_gets_it_by_asking_again(database_url: str, connection: Connection) -> None:
    sent = made(3)
    own = pool.connect(database_url)
    lost_answer(own, lambda: append(own, "thing", "a", "no_stream", sent))
    append(connection, "thing", "a", 3, made())
    again = append(connection, "thing", "a", "no_stream", sent)
    assert (again.version, again.duplicate) == (3, True)


def test_a_repeat_inside_the_transaction_of_the_first_is_recognised(connection: Connection) -> None:
    sent = made(2)
    with connection.transaction():
        first = append(connection, "thing", "a", "any", sent)
        append(connection, "thing", "a", "any", made())
        again = append(connection, "thing", "a", "any", sent)
    assert (again.version, again.positions, again.duplicate) == (first.version, first.positions, True)
    assert versions(connection, "a") == [1, 2, 3]


def test_a_repeat_of_what_was_rolled_back_is_a_first_append(connection: Connection) -> None:
    sent = made(2)
    with connection.transaction(force_rollback=True):
        append(connection, "thing", "a", "any", sent)
    assert not append(connection, "thing", "a", "no_stream", sent).duplicate
