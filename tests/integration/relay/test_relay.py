"""The relay: at least once, stable ids, in order, and nothing skipped."""

import json
import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from penstock import event_store
from penstock.errors import InvalidInput, Unavailable
from penstock.event_store import ANY_VERSION, NewEvent
from penstock.pipelines.dead_letters import list_dead_letters
from penstock.relay import outbox as relay_module
from penstock.relay.event_names import APPENDED, PROJECTIONS_BEHIND
from penstock.relay.outbox import OutgoingEvent, relay
from penstock.settings import Settings


class Outbox:
    """What was sent, in order; `fail` is raised after the events have arrived, as a lost answer would be."""

    def __init__(self) -> None:
        self.sends: list[list[OutgoingEvent]] = []
        self.fail: Exception | None = None

    def __call__(self, events: Sequence[OutgoingEvent]) -> None:
        self.sends.append(list(events))
        if self.fail:
            raise self.fail

    @property
    def events(self) -> list[OutgoingEvent]:
        return [event for send in self.sends for event in send]

    @property
    def appended(self) -> list[dict[str, Any]]:
        return [event.data for event in self.events if event.name == APPENDED]

    @property
    def positions(self) -> list[int]:
        return [event.data["position"] for event in self.events if event.name != APPENDED]


def append(
    connection: psycopg.Connection, event_type: str = "Noted", number: int = 1, **payload: Any
) -> list[NewEvent]:
    events = [NewEvent(event_type, {"number": n, **payload}) for n in range(number)]
    event_store.append(connection, "note", uuid4().hex, ANY_VERSION, events)
    return events


def checkpoint(connection: psycopg.Connection) -> int:
    return event_store.read_checkpoint(connection, "inngest")


def test_one_coalesced_event_tells_of_a_range(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection, "Noted", 3)
    last = append(connection, "Erased", 2)[-1]
    outbox = Outbox()
    relayed = relay(settings, outbox, ())
    safe = event_store.high_water_mark(connection)
    assert [event.name for event in outbox.events] == [APPENDED]
    assert outbox.appended == [{"from": 1, "to": safe, "count": 5, "event_types": ["Erased", "Noted"]}]
    assert outbox.events[0].id == f"appended-{last.id}"
    assert (relayed.events, relayed.sent, relayed.position) == (5, 0, safe)
    assert checkpoint(connection) == safe


def test_projections_are_notified_only_of_types_that_they_fold(
    connection: psycopg.Connection, settings: Settings
) -> None:
    projected = {"notes": ("Noted", "Erased"), "orders": ("OrderPlaced",), "erased": ("Erased",)}

    def behind() -> list[Any]:
        outbox = Outbox()
        relay(settings, outbox, (), projected)
        return [(event.id, event.data["projections"]) for event in outbox.events if event.name == PROJECTIONS_BEHIND]

    noted = append(connection, "Noted", 3)[-1]
    assert behind() == [(f"behind-{noted.id}", ["notes"])]
    last = [append(connection, event_type)[-1] for event_type in ("Erased", "Noted", "Other")][-1]
    assert behind() == [(f"behind-{last.id}", ["erased", "notes"])]
    append(connection, "Other")
    assert behind() == []


def test_more_types_than_are_named_still_notify(connection: psycopg.Connection, settings: Settings) -> None:
    for number in range(relay_module.MAX_NAMED_TYPES + 5):
        append(connection, f"Type{number:03}")
    outbox = Outbox()
    projected = {f"p{number:03}": (f"Type{number:03}",) for number in range(relay_module.MAX_NAMED_TYPES + 5)}
    relay(settings, outbox, (), projected)
    assert len(outbox.appended[0]["event_types"]) == relay_module.MAX_NAMED_TYPES
    assert outbox.events[1].data["projections"] == sorted(projected)


def test_nothing_new_sends_nothing(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection)
    relay(settings, Outbox(), ("*",))
    outbox = Outbox()
    assert relay(settings, outbox, ("*",)).events == 0
    assert outbox.sends == []


def test_a_range_of_gaps_alone_moves_the_checkpoint_without_a_send(
    connection: psycopg.Connection, settings: Settings
) -> None:
    with pytest.raises(RuntimeError), connection.transaction():
        append(connection)
        raise RuntimeError
    outbox = Outbox()
    relay(settings, outbox, ("*",))
    assert outbox.sends == []
    assert checkpoint(connection) == event_store.high_water_mark(connection) == 1


def test_events_go_out_for_listened_types_alone(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection, "Ignored")
    noted = append(connection, "Noted", 2, text="ä")
    append(connection, "order.placed")
    append(connection, "orderly")
    outbox = Outbox()
    relay(settings, outbox, {"Noted", "order.*"})
    names = [event.name for event in outbox.events]
    assert names == [APPENDED, "event/Noted", "event/Noted", "event/order.placed"]
    first = outbox.events[1]
    assert first.id == str(noted[0].id)
    assert first.data["payload"] == {"number": 0, "text": "ä"}
    assert first.data["reference_only"] is False
    assert first.data["metadata"]["correlation_id"] == str(noted[0].id)
    stored = event_store.read_events(connection, event_types=["Noted"])[0]
    assert (first.data["position"], first.data["version"]) == (stored.position, stored.version)
    assert first.ts == int(stored.created_at.timestamp() * 1000)
    json.dumps(first.data)


def test_a_lost_answer_sends_the_same_events_with_the_same_ids_again(
    connection: psycopg.Connection, settings: Settings
) -> None:
    append(connection, "Noted", 3)
    outbox = Outbox()
    outbox.fail = Unavailable("no answer")
    with pytest.raises(Unavailable):
        relay(settings, outbox, {"Noted"})
    assert checkpoint(connection) == 0
    outbox.fail = None
    relay(settings, outbox, {"Noted"})
    first, second = outbox.sends
    assert [event.id for event in first] == [event.id for event in second]


def test_a_crash_between_send_and_commit_loses_nothing(
    connection: psycopg.Connection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(connection, "Noted", 3)
    outbox = Outbox()

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(relay_module, "move_checkpoint", die)
        relay(settings, outbox, {"Noted"})
    append(connection, "Noted", 1)
    relay(settings, outbox, {"Noted"})
    sent = Counter(event.id for event in outbox.events if event.name == "event/Noted")
    assert sorted(sent.values()) == [1, 2, 2, 2]


def test_an_event_too_large_for_inngest_goes_as_a_reference(connection: psycopg.Connection, settings: Settings) -> None:
    fits, too_large = append(connection, "Noted", 1, text="x" * 200_000)[0], append(connection, text="x" * 300_000)[0]
    many_small = append(connection, "Noted", 1, numbers=[1] * 100_000)[0]
    outbox = Outbox()
    relay(settings, outbox, {"Noted"})
    sent = {event.id: event.data for event in outbox.events}
    assert sent[str(fits.id)]["payload"]["text"] == "x" * 200_000
    for event in (too_large, many_small):
        data = sent[str(event.id)]
        assert (data["reference_only"], data["payload"], data["metadata"]) == (True, None, None)
        assert data["aggregate_type"] == "note"
        assert data["position"] > 0
        assert data["version"] == 1
    assert max(len(json.dumps(event.data)) for event in outbox.events) <= 256 * 1024


def test_a_number_beyond_a_double_goes_as_its_digits(connection: psycopg.Connection, settings: Settings) -> None:
    digits = "1" + "0" * 400 + ".5"
    payload = f'{{"n": {digits}}}'
    connection.execute(
        "select public.append_event('note', 'n1', -1, gen_random_uuid(), 'Noted', %s::jsonb)", (payload,)
    )
    outbox = Outbox()
    relay(settings, outbox, {"Noted"})
    assert outbox.events[1].data["reference_only"] is False
    assert outbox.events[1].data["payload"] == {"n": digits}


def test_more_events_than_a_send_holds_go_in_several_in_order(
    connection: psycopg.Connection, settings: Settings
) -> None:
    append(connection, "Noted", 2_500)
    outbox = Outbox()
    relayed = relay(settings, outbox, {"Noted"})
    assert relayed.sent == 2_500
    assert outbox.positions == sorted(outbox.positions)
    assert len(set(outbox.positions)) == 2_500
    assert max(map(len, outbox.sends)) <= 1_001
    assert [data["count"] for data in outbox.appended] == [1000, 1000, 500]
    ranges = [(data["from"], data["to"]) for data in outbox.appended]
    assert [first for first, _ in ranges[1:]] == [last + 1 for _, last in ranges[:-1]]


def test_large_events_are_spread_over_sends(connection: psycopg.Connection, settings: Settings) -> None:
    append(connection, "Noted", 40, text="x" * 200_000)
    outbox = Outbox()
    relay(settings, outbox, {"Noted"})
    assert len(outbox.positions) == 40
    assert len(outbox.sends) > 1
    assert max(sum(event.size() for event in send) for send in outbox.sends) <= relay_module.MAX_BYTES_A_SEND


def test_an_event_that_inngest_refuses_becomes_a_dead_letter_and_the_others_go_on(
    connection: psycopg.Connection, settings: Settings
) -> None:
    append(connection, "Noted", 1)
    append(connection, "Noted", 1, poison=True)
    append(connection, "Noted", 1)
    taken: list[OutgoingEvent] = []

    def send(events: Sequence[OutgoingEvent]) -> None:
        if any((event.data.get("payload") or {}).get("poison") for event in events):
            raise InvalidInput("no such thing", field="event")
        taken.extend(events)

    relay(settings, send, {"Noted"})
    assert [event.name for event in taken] == [APPENDED, "event/Noted", "event/Noted"]
    (letter,) = list_dead_letters(connection)
    assert (letter.kind, letter.source, letter.reference) == ("event", "inngest", "2")
    assert "no such thing" in letter.reason
    assert "payload" not in letter.payload
    assert checkpoint(connection) == 3


def test_two_relays_at_once_send_nothing_twice(connection: psycopg.Connection, settings: Settings) -> None:
    for _ in range(20):
        append(connection, "Noted", 5)
    outbox = Outbox()
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        relay(settings, outbox, {"Noted"})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outbox.positions) == list(range(1, 101))


def test_the_relay_stops_below_an_append_that_is_not_committed(
    connection: psycopg.Connection, settings: Settings, database_url: str
) -> None:
    outbox = Outbox()
    with psycopg.connect(database_url) as slow:
        append(slow, "Noted")
        append(connection, "Noted")
        relay(settings, outbox, {"Noted"})
        assert outbox.positions == []
        slow.commit()
    relay(settings, outbox, {"Noted"})
    assert outbox.positions == [1, 2]


def test_racing_writers_with_slow_commits_and_two_relays_lose_nothing(settings: Settings, database_url: str) -> None:
    outbox = Outbox()
    done = threading.Event()

    def write(seed: int) -> None:
        with psycopg.connect(database_url, autocommit=True) as own:
            for number in range(40):
                with own.transaction():
                    append(own, "Noted", 2)
                    if (number + seed) % 4 == 0:
                        own.execute("select pg_sleep(0.01)")

    def keep_relaying() -> None:
        while not done.is_set():
            relay(settings, outbox, {"Noted"})

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    relays = [threading.Thread(target=keep_relaying) for _ in range(2)]
    for thread in (*writers, *relays):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in relays:
        thread.join()
    relay(settings, outbox, {"Noted"})
    with psycopg.connect(database_url) as own:
        stored = [position for (position,) in own.execute("select position from public.event_store order by 1")]
    assert len(stored) == 6 * 40 * 2
    assert outbox.positions == stored
    assert sum(data["count"] for data in outbox.appended) == len(stored)
