"""`run_command`: one aggregate, one event, decided on its newest state, once for each idempotency key."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import psycopg
import pytest

from penstock.commands import CommandAnswer, CommandContext, run_command
from penstock.errors import Conflict, EventIdReused
from penstock.event_store import Fold, RecordedEvent, Reducer, read_stream
from penstock.payloads import Payload
from penstock.settings import Settings

CONTEXT = CommandContext(datetime(2026, 11, 21, tzinfo=UTC), "till", "api", "c-1")


class SeatTaken(Payload):
    guest: str


@dataclass(frozen=True)
class Table:
    guests: tuple[str, ...] = ()


def _evolve(table: Table, event: RecordedEvent) -> Table:
    return Table((*table.guests, event.payload["guest"]))


def _restore(dumped: dict[str, list[str]]) -> Table:
    return Table(tuple(dumped["guests"]))


FOLD = Fold("table", Reducer("table", 1, Table(), _evolve, asdict, _restore))


def take_seat(settings: Settings, guest: str, context: CommandContext = CONTEXT) -> CommandAnswer[Table]:
    seat = SeatTaken(guest=guest)

    def decide(table: Table) -> SeatTaken:
        if len(table.guests) == 4:
            raise Conflict("the table is full")
        return seat

    return run_command(settings, FOLD, "T-1", "take_seat", seat, decide, context)


def test_the_answer_is_the_state_after_the_event(settings: Settings, connection: psycopg.Connection) -> None:
    take_seat(settings, "Ann")
    answer = take_seat(settings, "Bob")
    assert (answer.state, answer.version, answer.duplicate) == (Table(("Ann", "Bob")), 2, False)
    last = read_stream(connection, "table", "T-1")[-1]
    assert (last.event_type, last.position, last.metadata["actor"]) == ("SeatTaken", answer.position, "till")


def test_a_refusal_appends_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    for guest in "abcd":
        take_seat(settings, guest)
    with pytest.raises(Conflict, match="the table is full"):
        take_seat(settings, "e")
    assert len(read_stream(connection, "table", "T-1")) == 4


def test_racing_commands_decide_on_the_newest_state(settings: Settings, connection: psycopg.Connection) -> None:
    def seated(guest: str) -> bool:
        try:
            take_seat(settings, guest)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(seated, "abcdefgh"))
    assert len(read_stream(connection, "table", "T-1")) == sum(outcomes) <= 4


def test_a_repeat_with_its_key_is_answered_as_the_first_time(settings: Settings) -> None:
    keyed = replace(CONTEXT, idempotency_key="k")
    first = take_seat(settings, "Ann", keyed)
    take_seat(settings, "Bob")
    assert take_seat(settings, "Ann", keyed) == replace(first, duplicate=True)
    with pytest.raises(EventIdReused):
        take_seat(settings, "Cid", keyed)
