"""What a delivery means: its body `{"type", "timestamp", "data"}` as one event of one stream. Pure.

A `type` that a domain declares goes to its own stream and must have a fitting payload; any other type is kept as it was
sent, in the stream `<source>/<id>`, where the id is `data.id`, `data.object.id` or else the delivery's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from pydantic import TypeAdapter, ValidationError

from penstock import json_codec
from penstock.business_time import check_time
from penstock.errors import InvalidInput
from penstock.event_store import NewEvent
from penstock.payloads import EventSchema, Payload, find_schema
from penstock.settings import Settings
from penstock.types import Time

_NAMESPACE: Final = UUID("c1c2a0ce-0c55-5d0c-9f3b-6f0a7f9a3e10")
_TIME: Final[TypeAdapter[datetime]] = TypeAdapter(Time)


@dataclass(frozen=True)
class Delivery:
    """A row of the inbox, as far as its meaning needs it."""

    source: str
    delivery_id: str
    body: bytes
    received_at: datetime


@dataclass(frozen=True)
class MappedEvent:
    aggregate_type: str
    aggregate_id: str
    event: NewEvent


def read_delivery(delivery: Delivery, settings: Settings) -> MappedEvent:
    """The event that the delivery is; its id depends on source and delivery id alone. Raises `InvalidInput`.

    Of the settings it takes what they say where a payload does not, such as the currency.
    """
    body = json_codec.loads(delivery.body)
    if not isinstance(body, dict):
        raise InvalidInput("not a JSON object", field="body")
    event_type = body.get("type")
    if not isinstance(event_type, str) or not event_type:
        raise InvalidInput("missing, or no text", field="type")
    data = body.get("data")
    if not isinstance(data, dict):
        raise InvalidInput("missing, or no JSON object", field="data")
    if schema := find_schema(event_type):
        aggregate_type, aggregate_id, payload = _domain_event(schema, data, settings)
    else:
        aggregate_type, aggregate_id, payload = delivery.source, _stream_id(data, delivery), data
    event = NewEvent(event_type, payload, _metadata(delivery, body), event_id(delivery))
    return MappedEvent(aggregate_type, aggregate_id, event)


def event_id(delivery: Delivery) -> UUID:
    return uuid5(_NAMESPACE, f"{delivery.source}:{delivery.delivery_id}")


def _domain_event(schema: EventSchema, data: Mapping[str, Any], settings: Settings) -> tuple[str, str, dict[str, Any]]:
    """Steps of an order do not name it in their payload: the id beside their fields says which order it is."""
    model, key = schema.payload, schema.key
    aggregate_id = data.get(key)
    if not isinstance(aggregate_id, str) or not aggregate_id:
        raise InvalidInput("missing, or no text", field=f"data.{key}")
    given = data if key in model.model_fields else {name: value for name, value in data.items() if name != key}
    unsaid = {name: each for name, each in schema.settings_defaults.items() if given.get(name) is None}
    given = {**given, **{name: each.required(settings, f"data.{name}") for name, each in unsaid.items()}}
    return schema.aggregate_type, aggregate_id, _payload(model, given).as_json()


def _payload(model: type[Payload], given: Mapping[str, Any]) -> Payload:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise InvalidInput(f"{first['msg']} ({model.__name__})", field=f"data{place}") from error


def _stream_id(data: Mapping[str, Any], delivery: Delivery) -> str:
    inner = data.get("object")
    for candidate in (data.get("id"), inner.get("id") if isinstance(inner, dict) else None):
        if isinstance(candidate, str) and candidate:
            return candidate
        if isinstance(candidate, int) and not isinstance(candidate, bool):
            return str(candidate)
    return delivery.delivery_id


def _metadata(delivery: Delivery, body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "correlation_id": f"{delivery.source}:{delivery.delivery_id}",
        "causation_id": delivery.delivery_id,
        "actor": f"webhook:{delivery.source}",
        "source": "webhook",
        "occurred_at": _occurred_at(body.get("timestamp"), delivery.received_at),
    }


def _occurred_at(timestamp: object, received_at: datetime) -> datetime:
    """The sender's time if it can be read, else when it was received. Not every time is allowed: `check_time`."""
    try:
        sent_at = _TIME.validate_python(timestamp)
    except ValidationError:
        return received_at
    try:
        return check_time(sent_at)
    except ValueError as error:
        raise InvalidInput(str(error), field="timestamp") from error
