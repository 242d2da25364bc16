"""What a delivery of one of the shop's events means, without a database."""

import json
from datetime import UTC, datetime

import pytest

from penstock.errors import InvalidInput
from penstock.ingest.webhooks.mapping import Delivery, MappedEvent, read_delivery
from penstock.settings import Settings

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
ORDER = {
    "order_id": "A-1",
    "placed_at": "2026-11-20T10:00:00+01:00",
    "items": [{"product_id": "MUG", "quantity": 2, "unit_price": "7.50"}],
}


def read(body: object, id: str = "msg_1", source: str = "shop", currency: str | None = "GBP") -> MappedEvent:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_delivery(Delivery(source, id, raw, NOW), Settings("postgresql://", currency=currency))


def test_a_domain_event_goes_to_its_own_stream_with_its_payload_completed() -> None:
    meaning = read({"type": "OrderPlaced", "timestamp": "2026-11-20T09:00:00Z", "data": ORDER})
    assert (meaning.aggregate_type, meaning.aggregate_id, meaning.event.event_type) == ("order", "A-1", "OrderPlaced")
    assert meaning.event.payload["total"] == "15.00"
    assert meaning.event.payload["placed_at"] == "2026-11-20T09:00:00Z"


def test_the_payload_names_the_currency_or_the_settings_do() -> None:
    for said, expected in ((ORDER | {"currency": "EUR"}, "EUR"), (ORDER, "GBP"), (ORDER | {"currency": None}, "GBP")):
        assert read({"type": "OrderPlaced", "data": said}).event.payload["currency"] == expected
    unsaid = r"^data\.currency: missing, and PENSTOCK_CURRENCY is not set: [^:]*$"
    with pytest.raises(InvalidInput, match=unsaid):
        read({"type": "OrderPlaced", "data": ORDER}, currency=None)
    # an order that is there has a currency already, and that need not be what the settings say
    with pytest.raises(InvalidInput, match=r"data\.currency"):
        read({"type": "OrderAmended", "data": ORDER})


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
    ("event_type", "data", "field"),
    [
        ("OrderPlaced", {}, "data.order_id"),
        ("OrderPlaced", {**ORDER, "items": []}, "data.items"),
        ("OrderPlaced", {**ORDER, "items": [{**ORDER["items"][0], "quantity": 0}]}, "data.items[0]"),
        ("OrderPlaced", {**ORDER, "colour": "red"}, "data.colour"),
        ("OrderShipped", {"carrier": "DHL"}, "data.order_id"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_naming_the_field(event_type: str, data: dict, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read({"type": event_type, "data": data})
    assert str(refused.value).startswith(field)
