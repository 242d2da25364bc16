"""What a delivery means, without a database."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.webhooks.mapping import Delivery, MappedEvent, read_delivery
from penstock.settings import Settings
from tests.domains import installed
from tests.tickets import DOMAIN

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
LINE = {"part": "TAP", "quantity": 2, "price": "7.50"}
TICKET = {"ticket_id": "T-1", "opened_at": "2026-11-20T10:00:00+01:00", "lines": [LINE]}


@pytest.fixture(autouse=True, scope="module")
def tickets() -> Iterator[None]:
    with installed(DOMAIN):
        yield


def read(body: object, id: str = "msg_1", source: str = "desk") -> MappedEvent:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_delivery(Delivery(source, id, raw, NOW), Settings("postgresql://"))


def test_a_domain_event_goes_to_its_own_stream_with_its_payload_completed() -> None:
    meaning = read({"type": "TicketOpened", "timestamp": "2026-11-20T09:00:00Z", "data": TICKET})
    assert (meaning.aggregate_type, meaning.aggregate_id, meaning.event.event_type) == ("ticket", "T-1", "TicketOpened")
    assert meaning.event.payload == {**TICKET, "title": None, "opened_at": "2026-11-20T09:00:00Z"}
    assert meaning.event.metadata == {
        "correlation_id": "desk:msg_1",
        "causation_id": "msg_1",
        "actor": "webhook:desk",
        "source": "webhook",
        "occurred_at": datetime(2026, 11, 20, 9, tzinfo=UTC),
    }


def test_a_step_names_its_stream_beside_its_payload() -> None:
    meaning = read({"type": "TicketClosed", "data": {"ticket_id": "T-1", "reason": "mended"}})
    assert (meaning.aggregate_type, meaning.aggregate_id) == ("ticket", "T-1")
    assert meaning.event.payload == {"reason": "mended"}


@pytest.mark.parametrize(
    ("data", "aggregate_id"),
    [
        ({"id": "pi_1", "object": {"id": "x"}}, "pi_1"),
        ({"object": {"id": "ch_1"}}, "ch_1"),
        ({"id": 9007199254740993}, "9007199254740993"),
        ({"id": True}, "msg_1"),
        ({"id": ""}, "msg_1"),
        ({"object": [1]}, "msg_1"),
        ({}, "msg_1"),
    ],
)
def test_any_other_type_is_kept_as_sent_in_a_stream_of_its_source(data: dict, aggregate_id: str) -> None:
    meaning = read({"type": "charge.succeeded", "data": data})
    assert (meaning.aggregate_type, meaning.aggregate_id) == ("desk", aggregate_id)
    assert (meaning.event.event_type, meaning.event.payload) == ("charge.succeeded", data)


@pytest.mark.parametrize("timestamp", [None, 5, "yesterday", "0001-01-01T00:00:00+14:00", {}])
def test_an_odd_timestamp_gives_way_to_when_the_delivery_came(timestamp: object) -> None:
    meaning = read({"type": "x", "timestamp": timestamp, "data": {}})
    assert meaning.event.metadata["occurred_at"] == NOW


def test_the_event_id_is_that_of_the_delivery() -> None:
    first, again = (read({"type": "x", "data": {"n": n}}) for n in (1, 2))
    assert first.event.id == again.event.id
    assert read({"type": "x", "data": {}}, id="msg_2").event.id != first.event.id
    assert read({"type": "x", "data": {}}, source="other").event.id != first.event.id


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"\xff", "body"),
        (b"[]", "body"),
        (b"<xml/>", "body"),
        (b'{"type": "x", "data": {"a": NaN}}', "body"),
        (b'{"type": "x", "data": {"a": "\\u0000"}}', "body"),
        ({"data": {}}, "type"),
        ({"type": 5, "data": {}}, "type"),
        ({"type": "", "data": {}}, "type"),
        ({"type": "x"}, "data"),
        ({"type": "x", "data": []}, "data"),
        ({"type": "TicketOpened", "data": {}}, "data.ticket_id"),
        ({"type": "TicketOpened", "data": {**TICKET, "lines": 5}}, "data.lines"),
        ({"type": "TicketOpened", "data": {**TICKET, "lines": [{**LINE, "quantity": 0}]}}, "data.lines[0]"),
        ({"type": "TicketOpened", "data": {**TICKET, "colour": "red"}}, "data.colour"),
        ({"type": "TicketClosed", "data": {"reason": "mended"}}, "data.ticket_id"),
    ],
)
def test_what_cannot_be_an_event_is_refused_naming_the_field(body: object, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(body)
    assert str(refused.value).startswith(field)
    assert json_codec.dumps(dict(refused.value.details))
