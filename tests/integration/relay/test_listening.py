"""Types that nobody listened to before are told from the first event on, and each event once."""

import threading
from collections import Counter

import psycopg
import pytest

from penstock import event_store
from penstock.errors import Unavailable
from penstock.relay import outbox as relay_module
from penstock.relay.event_names import APPENDED
from penstock.relay.outbox import go_back, relay
from penstock.settings import Settings
from tests.integration.relay.test_relay import Outbox, append, checkpoint


def told(settings: Settings, *names: str) -> list[tuple[str, int]]:
    outbox = Outbox()
    assert relay(settings, outbox, set(names)).caught_up
    return [
        (event.name.removeprefix("event/"), event.data["position"]) for event in outbox.events if event.name != APPENDED
    ]


def test_a_new_listener_hears_of_all_that_was_ever_appended(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection, "TicketOpened", 3)
    append(connection, "Noted", 2)
    assert told(settings) == []
    append(connection, "TicketOpened", 1)
    assert told(settings, "TicketOpened") == [("TicketOpened", position) for position in (1, 2, 3, 6)]
    assert told(settings, "TicketOpened") == []
    append(connection, "TicketOpened", 1)
    assert told(settings, "TicketOpened", "Noted") == [("TicketOpened", 7), ("Noted", 4), ("Noted", 5)]


def test_a_listener_that_returns_hears_of_what_it_missed(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection, "Noted", 2)
    assert told(settings, "Noted") == [("Noted", 1), ("Noted", 2)]
    append(connection, "Noted", 2)
    assert told(settings) == []
    assert told(settings, "Noted") == [("Noted", 3), ("Noted", 4)]


def test_a_new_prefix_repeats_no_type_that_was_listened_to(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection, "order.placed")
    append(connection, "order.paid")
    assert told(settings, "order.paid") == [("order.paid", 2)]
    assert told(settings, "order.paid", "order.*", "order.p*") == [("order.placed", 1)]
    append(connection, "order.paid")
    assert told(settings, "order.paid", "order.*", "order.p*") == [("order.paid", 3)]


@pytest.fixture
def long_past(connection: psycopg.Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 events, told with no listener for them, and a relay that takes 40 at once."""
    monkeypatch.setattr(relay_module, "MAX_POSITIONS", 40)
    append(connection, "Noted", 100)
    told(settings)


@pytest.mark.usefixtures("long_past")
def test_a_long_past_goes_out_in_portions_between_new_events(
    connection: psycopg.Connection, settings: Settings
) -> None:
    outbox = Outbox()
    first = relay(settings, outbox, {"Noted"}, seconds=0)
    assert (first.sent, first.caught_up) == (40, False)
    append(connection, "Noted", 10)
    while not relay(settings, outbox, {"Noted"}, seconds=0).caught_up:
        pass
    assert sorted(outbox.positions) == list(range(1, 111))
    assert [data["count"] for data in outbox.appended] == [10]


@pytest.mark.usefixtures("long_past")
def test_the_past_goes_on_where_a_failed_send_left_it(settings: Settings) -> None:
    outbox = Outbox()
    relay(settings, outbox, {"Noted"}, seconds=0)
    outbox.fail = Unavailable("no answer")
    with pytest.raises(Unavailable):
        relay(settings, outbox, {"Noted"})
    outbox.fail = None
    relay(settings, outbox, {"Noted"})
    sent = Counter(outbox.positions)
    assert sorted(sent) == list(range(1, 101))
    assert [position for position, times in sent.items() if times > 1] == list(range(41, 81))


def test_two_programs_with_different_listeners_lose_nothing(connection: psycopg.Connection, settings: Settings) -> None:
    """As while a new deployment takes over: old and new instances relay in turn."""
    heard: list[tuple[str, int]] = []
    for turn in range(6):
        append(connection, "Noted", 2)
        heard += told(settings, "Noted") if turn % 2 else told(settings)
    heard += told(settings, "Noted")
    assert sorted(heard) == [("Noted", position) for position in range(1, 13)]


def test_relays_at_once_tell_of_the_past_once(
    connection: psycopg.Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MAX_POSITIONS", 7)
    append(connection, "Noted", 100)
    told(settings)
    outbox, barrier = Outbox(), threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        relay(settings, outbox, {"Noted"})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.positions == list(range(1, 101))


def test_going_back_tells_again_from_that_position(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection, "Noted", 5)
    append(connection, "Other", 1)
    told(settings, "Noted")
    go_back(settings, 3)
    assert checkpoint(connection) == 3
    assert told(settings, "Noted") == [("Noted", 4), ("Noted", 5)]
    go_back(settings, 100)
    assert checkpoint(connection) == event_store.high_water_mark(connection) == 6


def test_going_back_takes_a_type_that_is_behind_along(
    connection: psycopg.Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MAX_POSITIONS", 40)
    append(connection, "Noted", 100)
    told(settings)
    outbox = Outbox()
    relay(settings, outbox, {"Noted"}, seconds=0)
    go_back(settings, 10)
    again = Outbox()
    while not relay(settings, again, {"Noted"}, seconds=0).caught_up:
        pass
    assert sorted(again.positions) == list(range(11, 101))


def test_a_store_from_which_nothing_was_told_has_nothing_behind(
    connection: psycopg.Connection, settings: Settings
) -> None:
    append(connection, "Noted", 3)
    outbox = Outbox()
    relay(settings, outbox, {"Noted"})
    assert len(outbox.sends) == 1
    assert connection.execute("select event_type, position from ops.listened_types").fetchall() == [("Noted", None)]
