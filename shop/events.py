"""The events of the sample domain as typed payloads: what commands decide, and what a webhook's data must look like.

The store takes any payload; these models are for those who write domain events. Money is a decimal with its digits
as they came ("2.550" stays "2.550"), a JSON string in the store. Limits are those of the read models' columns.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

from penstock import json_codec
from penstock.business_time import check_time
from penstock.errors import InvalidInput

_MONEY = re.compile(r"(-?)(\d{1,12})(\.\d{1,6})?", re.ASCII)
_MAX_TOTAL: Final = Decimal(10) ** 15
_MAX_INTEGER: Final = 2**31 - 1
DEFAULT_CURRENCY: Final = "GBP"


def _parse_money(value: object) -> object:
    """Text or a JSON number; the codec has made sure that a number's shortest form is what was sent."""
    if isinstance(value, Decimal):
        value = format(value, "f")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = format(Decimal(repr(value)), "f")
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        raise ValueError('not an amount: up to 12 digits and 6 decimal places, best as a string like "2.550"')
    return Decimal(value)


def _in_reach(value: datetime) -> datetime:
    if not 1900 <= value.year < 2200:
        raise ValueError("not from 1900 to 2199")
    return value.astimezone(UTC)


def storable(value: str) -> str:
    """For validators: the text, or `ValueError` if Postgres cannot store it."""
    try:
        json_codec.check_text(value, field="text")
    except InvalidInput as error:
        raise ValueError(str(error).removeprefix("text: ")) from error
    return value


def _show_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time_text(value: object) -> object:
    """No bare numbers: pydantic would take them for seconds since 1970."""
    if not isinstance(value, str | datetime):
        raise ValueError('not a time as RFC 3339 writes it, like "2026-11-21T09:30:00Z"')
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", value, re.ASCII):
        raise ValueError('not a time as RFC 3339 writes it, like "2026-11-21T09:30:00Z"')
    return value


Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(storable)]
Category = Annotated[str, StringConstraints(max_length=200), AfterValidator(storable)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
_MONEY_SCHEMA = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]{1,12}(\.[0-9]{1,6})?$"},
        {"type": "number", "minimum": 0, "maximum": 999_999_999_999},
    ],
    "examples": ["2.550"],
}
Money = Annotated[
    Decimal,
    BeforeValidator(_parse_money),
    Field(ge=0),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema(_MONEY_SCHEMA, mode="validation"),
]
Time = Annotated[
    AwareDatetime,
    BeforeValidator(_time_text),
    AfterValidator(_in_reach),
    PlainSerializer(_show_time, return_type=str),
]
OccurredAt = Annotated[Time, AfterValidator(check_time)]
"""A time at which a fact can have happened; a `Time` alone may ask for any."""
Quantity = Annotated[StrictInt, Field(ge=1, le=_MAX_INTEGER)]
Change = Annotated[StrictInt, Field(ge=-_MAX_INTEGER, le=_MAX_INTEGER)]


class Payload(BaseModel):
    """A payload's base: unknown fields are refused, absent optional ones are stored as null."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


class OrderLine(Payload):
    product_id: Identifier
    name: Text | None = None
    category: Category | None = None
    quantity: Quantity
    unit_price: Money


def _summable(lines: tuple[OrderLine, ...]) -> tuple[OrderLine, ...]:
    sum_of_lines(lines)
    return lines


OrderLines = Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=1000), AfterValidator(_summable)]


class OrderPlaced(Payload):
    """`total` may be left out; if it is given it must be the exact sum of the lines."""

    order_id: Identifier
    customer_id: Identifier | None = None
    currency: Currency = DEFAULT_CURRENCY
    country: Text | None = None
    placed_at: OccurredAt
    items: OrderLines
    total: Money | None = None

    @model_validator(mode="after")
    def _sum_up(self) -> Self:
        total = sum_of_lines(self.items)
        if self.total is not None and self.total != total:
            raise ValueError(f"total is {self.total}, the sum of the items {total}")
        object.__setattr__(self, "total", total)
        return self


class PaymentReceived(Payload):
    amount: Money
    method: Text | None = None


class OrderShipped(Payload):
    carrier: Text | None = None
    tracking: Text | None = None


class OrderDelivered(Payload):
    pass


class OrderCompleted(Payload):
    pass


class OrderCancelled(Payload):
    reason: Text | None = None


class InventoryAdjusted(Payload):
    product_id: Identifier
    delta: Change
    reason: Text | None = None


class StockReserved(Payload):
    """A negative quantity gives a reservation back; `reason` says why."""

    product_id: Identifier
    order_id: Identifier
    quantity: Change
    reason: Text | None = None


class ProductListed(Payload):
    product_id: Identifier
    name: Text
    category: Category | None = None
    unit_price: Money | None = None


class CustomerRegistered(Payload):
    customer_id: Identifier
    name: Text | None = None
    email: Text | None = None
    country: Text | None = None
    registered_at: OccurredAt


DOMAIN_EVENTS: Final[Mapping[str, tuple[type[Payload], str, str]]] = {
    "OrderPlaced": (OrderPlaced, "order", "order_id"),
    "PaymentReceived": (PaymentReceived, "order", "order_id"),
    "OrderShipped": (OrderShipped, "order", "order_id"),
    "OrderDelivered": (OrderDelivered, "order", "order_id"),
    "OrderCompleted": (OrderCompleted, "order", "order_id"),
    "OrderCancelled": (OrderCancelled, "order", "order_id"),
    "InventoryAdjusted": (InventoryAdjusted, "inventory", "product_id"),
    "StockReserved": (StockReserved, "inventory", "product_id"),
    "ProductListed": (ProductListed, "product", "product_id"),
    "CustomerRegistered": (CustomerRegistered, "customer", "customer_id"),
}
"""Each domain event: its payload, the aggregate type of its stream, and the field that names the stream."""


TIME_FIELDS: Final = {"OrderPlaced": "placed_at", "CustomerRegistered": "registered_at"}
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def check_payload_time(event_type: str, payload: Mapping[str, Any]) -> None:
    """`ValueError` if the payload of a domain event, appended as it is, has a time that no fact can have.

    What cannot be read as a time at all is left to the projections, which park it.
    """
    field = TIME_FIELDS.get(event_type)
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


def sum_of_lines(lines: Iterable[OrderLine]) -> Decimal:
    """The exact total (the default context would round beyond 28 digits); `ValueError` if no column holds it."""
    with localcontext(prec=60):
        total = sum((line.quantity * line.unit_price for line in lines), start=Decimal(0))
    if total >= _MAX_TOTAL:
        raise ValueError(f"the sum of the items is {total}: it must stay below {_MAX_TOTAL}")
    return total
