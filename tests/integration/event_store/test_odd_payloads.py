"""Payloads that SQL takes and other readers of JSON refuse: they are read as text, and hold up nobody."""

from collections.abc import Sequence

import pytest

from penstock import json_codec
from penstock.event_store import append, read_events, read_stream
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.relay.outbox import OutgoingEvent, relay
from penstock.settings import Settings
from tests.integration.event_store.racing import made

ODD = {
    "digits": "9" * 5000,
    "exponent": "1e100000",
    "infinite": "1" * 400 + ".5",
    "deep": "[" * 1500 + "]" * 1500,
}


@pytest.fixture(params=ODD.values(), ids=ODD.keys())
def odd(request: pytest.FixtureRequest, connection: Connection) -> Connection:
    """A store with one odd event between two others, appended as any holder of `service_role` may."""
    append(connection, "thing", "a", "any", made())
    payload = f'{{"odd": {request.param}, "n": 7}}'
    connection.execute("set role service_role")
    call = "select public.append_event('thing', 'a', 1, gen_random_uuid(), 'Odd', %s::jsonb, %s::jsonb)"
    connection.execute(call, (payload, payload))
    connection.execute("reset role")
    append(connection, "thing", "a", "any", made())
    return connection


@pytest.mark.usefixtures("odd")
def test_stream_and_store_are_read_past_it(settings: Settings) -> None:
    with pool.connection(settings) as pooled, pool.connect(settings.database_url) as own:
        for connection in (pooled, own):
            for events in (read_events(connection), read_stream(connection, "thing", "a")):
                assert [event.version for event in events] == [1, 2, 3]
                assert events[1].payload["n"] == 7
                json_codec.dumps([[event.payload, event.metadata] for event in events])


@pytest.mark.usefixtures("odd")
def test_the_relay_sends_it_and_what_follows(settings: Settings) -> None:
    sent: list[OutgoingEvent] = []

    def send(events: Sequence[OutgoingEvent]) -> None:
        sent.extend(events)

    assert relay(settings, send, ["*"]).position == 3
    assert [event.data["version"] for event in sent if "version" in event.data] == [1, 2, 3]
