"""The payloads that a domain's events must have, by event type; a type that nobody declared may carry anything."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from penstock.business_time import check_time
from penstock.settings import SettingDefault


class Payload(BaseModel):
    """A payload's base: unknown fields are refused, absent optional ones are stored as null."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class EventSchema:
    """One event type: its payload, the aggregate type of its stream, and the field that names the stream.

    `time_field` is the payload's field that says when it happened, if it has one. `settings_defaults` are required
    fields that the settings say where a webhook's payload does not.
    """

    payload: type[Payload]
    aggregate_type: str
    key: str
    time_field: str | None = None
    settings_defaults: Mapping[str, SettingDefault] = field(default_factory=dict)

    @property
    def event_type(self) -> str:
        return self.payload.__name__


_registry: dict[str, EventSchema] = {}


def register(schema: EventSchema) -> EventSchema:
    """Declare an event type, which bears the name of its payload's class."""
    if _registry.setdefault(schema.event_type, schema) != schema:
        raise ValueError(f"the event type {schema.event_type!r} is declared already")
    return schema


def find_schema(event_type: str) -> EventSchema | None:
    """The schema of that event type; None if no domain declares it."""
    return _registry.get(event_type)


def schemas() -> Mapping[str, EventSchema]:
    return _registry


_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def check_payload_time(event_type: str, payload: Mapping[str, Any]) -> None:
    """`ValueError` if the payload of a domain event, appended as it is, has a time that no event can have.

    What cannot be read as a time at all is left to the projections, which park it.
    """
    schema = find_schema(event_type)
    field = schema.time_field if schema else None
    text = payload.get(field) if field else None
    if not isinstance(text, str) or not _DAY.match(text):
        return
    try:
        check_time(_readable_time(text))
    except ValueError as error:
        raise ValueError(f"payload.{field}: {error}") from error


def _readable_time(text: str) -> datetime:
    """The time, in UTC if it names no zone as the projections have it; else at least its year."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        value = datetime(max(int(text[:4]), 1), 12, 31 if text[:4] < "2000" else 1, tzinfo=UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)
