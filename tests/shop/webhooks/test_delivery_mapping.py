"""What a delivery means, without a database."""

import json
from datetime import UTC, datetime

import pytest

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.webhooks.mapping import Delivery, MappedEvent, read_delivery

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ORDER = {
    "order_id": "A-1",
    "placed_at": "2026-11-20T10:00:00+01:00",
    "items": [{"product_id": "MUG", "quantity": 2, "unit_price": "7.50"}],
}


def read(body: object, id: str = "msg_1", source: str = "shop") -> MappedEvent:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_delivery(Delivery(source, id, raw, NOW))


def test_a_domain_event_goes_to_its_own_stream_with_its_payload_completed() -> None:
    meaning = read({"type": "OrderPlaced", "timestamp": "2026-11-20T09:00:00Z", "data": ORDER})
    assert (meaning.aggregate_type, meaning.aggregate_id, meaning.event.event_type) == ("order", "A-1", "OrderPlaced")
    assert meaning.event.payload["total"] == "15.00"
    assert meaning.event.payload["placed_at"] == "2026-11-20T09:00:00Z"
    assert meaning.event.metadata == {
        "correlation_id": "shop:msg_1",
        "causation_id": "msg_1",
        "actor": "webhook:shop",
        "source": "webhook",
        "occurred_at": datetime(2026, 11, 20, 9, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("event_type", "data", "stream", "payload"),
    [
        ("OrderShipped", {"order_id": "A-1", "carrier": "DHL"}, ("order", "A-1"), {"carrier": "DHL", "tracking": None}),
        ("OrderDelivered", {"order_id": "A-1"}, ("order", "A-1"), {}),
        (
            "InventoryAdjusted",
            {"product_id": "MUG", "delta": -2},
            ("inventory", "MUG"),
            {"product_id": "MUG", "delta": -2, "reason": None},
        ),
    ],
)
def test_a_step_names_its_order_beside_its_payload(event_type: str, data: dict, stream: tuple, payload: dict) -> None:
    meaning = read({"type": event_type, "data": data})
    assert (meaning.aggregate_type, meaning.aggregate_id) == stream
    assert meaning.event.payload == payload


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
    assert (meaning.aggregate_type, meaning.aggregate_id) == ("shop", aggregate_id)
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
        ({"type": "OrderPlaced", "data": {}}, "data.order_id"),
        ({"type": "OrderPlaced", "data": {**ORDER, "items": []}}, "data.items"),
        ({"type": "OrderPlaced", "data": {**ORDER, "items": [{**ORDER["items"][0], "quantity": 0}]}}, "data.items[0]"),
        ({"type": "OrderPlaced", "data": {**ORDER, "colour": "red"}}, "data.colour"),
        ({"type": "OrderShipped", "data": {"carrier": "DHL"}}, "data.order_id"),
    ],
)
def test_what_cannot_be_an_event_is_refused_naming_the_field(body: object, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(body)
    assert str(refused.value).startswith(field)
    assert json_codec.dumps(dict(refused.value.details))
