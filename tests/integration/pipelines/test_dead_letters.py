"""Dead letters: one open letter for each failure, retried once, or dropped."""

import re
import threading
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest

from penstock.errors import Conflict, NotFound, Unavailable
from penstock.pipelines import dead_letters
from penstock.pipelines.dead_letters import DeadLetter, list_dead_letters, park
from penstock.postgres.pool import Connection
from penstock.settings import Settings


def letter(connection: psycopg.Connection, reference: str = "7", **payload: object) -> UUID:
    return park(connection, "event", "orders", reference, "cannot be read", payload)


def nothing(connection: Connection, letter: DeadLetter) -> None:
    """A retry that succeeds."""


def test_the_same_failure_again_is_the_same_letter(connection: psycopg.Connection) -> None:
    first = letter(connection)
    assert letter(connection) == first
    assert letter(connection, "8") != first
    attempts = {found.reference: found.attempts for found in list_dead_letters(connection)}
    assert attempts == {"7": 2, "8": 1}


def test_the_reason_is_kept_without_secrets(connection: psycopg.Connection) -> None:
    park(connection, "run", "etl", "r1", "postgresql://u:hunter2@h/d", {})
    assert [found.reason for found in list_dead_letters(connection)] == ["postgresql://u:***@h/d"]


def test_a_letter_is_part_of_its_transaction(connection: psycopg.Connection) -> None:
    with pytest.raises(RuntimeError), connection.transaction():
        letter(connection)
        raise RuntimeError
    assert list_dead_letters(connection) == []


def test_a_retry_resolves_the_letter_and_a_later_failure_opens_another(
    connection: psycopg.Connection, settings: Settings
) -> None:
    first = letter(connection, value=1)
    seen: list[DeadLetter] = []
    dead_letters.retry(settings, first, {"event": lambda connection, found: seen.append(found)})
    assert [(found.id, found.payload) for found in seen] == [(first, {"value": 1})]
    assert list_dead_letters(connection) == []
    (done,) = list_dead_letters(connection, resolved=True)
    assert done.resolution == "retried"
    assert letter(connection) != first


def test_a_failed_retry_leaves_the_letter_open_and_undoes_what_it_wrote(
    connection: psycopg.Connection, settings: Settings
) -> None:
    found = letter(connection)

    def fail(own: Connection, letter: DeadLetter) -> None:
        own.execute("insert into ops.runs (pipeline) values ('half')")
        raise Unavailable("still away")

    with pytest.raises(Unavailable):
        dead_letters.retry(settings, found, {"event": fail})
    (still,) = list_dead_letters(connection)
    assert (still.attempts, still.reason) == (2, "Unavailable: still away")
    assert connection.execute("select count(*) from ops.runs").fetchone() == (0,)


def test_two_retries_at_once_run_it_once(connection: psycopg.Connection, settings: Settings) -> None:
    found = letter(connection)
    outcomes: list[object] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait()
        try:
            dead_letters.retry(settings, found, {"event": lambda *_: outcomes.append("ran")})
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["ran", "refused"]


def test_a_dropped_letter_is_kept_and_cannot_be_retried(connection: psycopg.Connection, settings: Settings) -> None:
    found = letter(connection)
    dead_letters.drop(settings, found)
    with pytest.raises(Conflict, match="dropped already"):
        dead_letters.retry(settings, found, {"event": nothing})
    assert [kept.resolution for kept in list_dead_letters(connection, resolved=True)] == ["dropped"]


def test_what_was_dropped_is_not_parked_again(connection: psycopg.Connection, settings: Settings) -> None:
    found = letter(connection)
    dead_letters.drop(settings, found)
    assert letter(connection) == found
    assert list_dead_letters(connection) == []


def test_a_letter_that_is_resolved_keeps_its_resolution(connection: psycopg.Connection, settings: Settings) -> None:
    dropped, still_open = letter(connection), letter(connection, "8")
    dead_letters.drop(settings, dropped)
    resolve = "select penstock.resolve_dead_letters(%s, 'retried')"
    assert connection.execute(resolve, ([dropped, still_open],)).fetchone() == (1,)
    resolutions = {found.id: found.resolution for found in list_dead_letters(connection, resolved=True)}
    assert resolutions == {dropped: "dropped", still_open: "retried"}


def test_nothing_but_the_two_functions_parks_and_resolves() -> None:
    """Purging old letters and counting a failed retry's attempt are all that else writes the table."""
    written = re.compile(r"(insert into|update|delete from) ops\.dead_letters")
    found = {
        (path.name, statement)
        for path in [*Path("penstock").rglob("*.py"), *Path("shop").rglob("*.py"), *Path("functions").rglob("*.py")]
        for statement in written.findall(path.read_text())
    }
    assert found == {("retention.py", "delete from"), ("dead_letters.py", "update")}


def test_an_unknown_letter_is_not_found(settings: Settings) -> None:
    with pytest.raises(NotFound):
        dead_letters.retry(settings, uuid4(), {"event": nothing})
    with pytest.raises(NotFound):
        dead_letters.drop(settings, uuid4())


def test_letters_are_listed_by_kind_and_source(connection: psycopg.Connection) -> None:
    letter(connection)
    park(connection, "run", "etl", "r1", "no", {})
    assert [found.kind for found in list_dead_letters(connection, kind="run")] == ["run"]
    assert [found.source for found in list_dead_letters(connection, source="orders")] == ["orders"]
